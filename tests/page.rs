//! The status page in a real browser, of a live agent on a node with real dockerds.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use mtu_lab::agent::{Agent, AgentSpec};
use mtu_lab::browser::{Browser, Sight};
use mtu_lab::docker::{Container, DockerLab, Dockerd, Level, Place, SERVER};
use mtu_lab::graphviz::draw;
use serde_json::{Value, json};

const MTU_AGENT: &str = env!("CARGO_BIN_EXE_mtu-agent");

/// A pod with a dockerd that nobody told its MTU, a container in it, and a dockerd in another.
fn seed_problem() -> Result<(DockerLab, Container)> {
    let lab = DockerLab::builder().level3(Dockerd::new()).build()?;
    let build = lab.start_container(Level::Three, &Container::on_network("bridge").name("build"))?;
    Ok((lab, build))
}

/// What a kernel takes as a name.
const ODD: &str = "<i>&\"'\u{1}\u{202e}";
/// How it is shown.
const SHOWN: &str = "<i>&\"'\u{fffd}\u{fffd}";

fn add_odd_link(lab: &DockerLab) -> Result<()> {
    lab.ip(&["link", "add", ODD, "type", "bridge"]).map(drop)
}

fn agent(lab: &DockerLab) -> Result<Agent<'_>> {
    let agent = AgentSpec::new(MTU_AGENT).args(&["--target", SERVER]).start(lab)?;
    agent.until_ready()?;
    agent.until("a mismatch and a probe", |agent| {
        let survey = agent.survey()?;
        let probed = !survey["paths"][0]["verdict"].is_null();
        Ok((probed && survey["mismatches"].as_array().is_some_and(|it| it.len() == 6)).then_some(()))
    })?;
    Ok(agent)
}

fn url(agent: &Agent<'_>) -> String {
    format!("http://{}/", agent.address())
}

/// Where pictures are kept.
fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("page").join(name)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_mismatch_is_seen_and_is_fine_after_tune_without_a_reload() -> Result<()> {
    let (lab, _build) = seed_problem()?;
    let agent = agent(&lab)?;
    let browser = Browser::start(&lab)?;
    let tab = browser.open(&url(&agent), Sight::DESK)?;
    tab.evaluate("window.sameDocument = true")?;
    tab.until("document.getElementById('live').textContent === 'live'")?;
    let text = tab.text()?;
    for said in ["1450", "Mismatch", "6 links let in packets that cannot get out.", "should have", SERVER] {
        ensure!(text.contains(said), "{said}: {text}");
    }
    let command = "mtu-agent tune --netns pod --apply";
    ensure!(text.contains(command), "{text}");
    assert_eq!(tab.evaluate("document.querySelectorAll('.drawing .wrong').length")?, 6);
    tab.screenshot(&picture("mismatch.png"))?;

    // What the page says, a user would run.
    let words: Vec<_> = [MTU_AGENT].into_iter().chain(command.split(' ').skip(1)).collect();
    lab.check_in(Place::Node, &words)?;
    tab.until("document.body.dataset.state === 'fine'")?;
    assert_eq!(tab.evaluate("window.sameDocument")?, true, "it was not loaded again");
    assert_eq!(tab.evaluate("document.querySelectorAll('.drawing .wrong').length")?, 0);
    assert_eq!(tab.evaluate("document.getElementById('mismatches').hidden")?, true);
    assert!(tab.evaluate("document.title")?.as_str().is_some_and(|it| it.starts_with("1450, fine: ")));
    tab.screenshot(&picture("fine.png"))?;

    lab.check_in(Place::Node, &[MTU_AGENT, "tune", "--revert"])?;
    tab.until("document.body.dataset.state === 'mismatch'")?;
    assert_eq!(tab.complaints()?, Vec::<Value>::new());
    Ok(())
}

/// Each text with less contrast to its background than WCAG 2.1 asks of normal text (1.4.3): 4.5.
const FAINT: &str = r"(() => {
    const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
    const luminance = (colour) => {
        const [r, g, b] = channels(colour).map((it) => it / 255)
            .map((it) => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        if (element instanceof SVGElement) {
            let group = element.closest('g');
            while (group && !group.querySelector(':scope > rect')) group = group.parentElement.closest('g');
            const box = group ? [...group.querySelectorAll(':scope > rect')].pop() : document.querySelector('.drawing > rect');
            return getComputedStyle(box).fill;
        }
        for (let it = element; it; it = it.parentElement) {
            const colour = getComputedStyle(it).backgroundColor;
            if (channels(colour)[3] !== 0) return colour;
        }
        throw new Error('nothing is behind it');
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = { texts: 0, faint: [] };
    while (texts.nextNode()) {
        const text = texts.currentNode, element = text.parentElement;
        const shown = element.checkVisibility() && !element.closest('title, desc, style, script');
        if (text.data.trim() === '' || !shown) continue;
        const style = getComputedStyle(element);
        const [a, b] = [element instanceof SVGElement ? style.fill : style.color, behind(element)].map(luminance);
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        found.texts += 1;
        if (!(contrast >= 4.5)) found.faint.push(`${text.data.trim()}: ${contrast.toFixed(2)}`);
    }
    return found;
})()";

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn it_is_read_in_the_dark_and_on_a_phone_and_by_a_screen_reader_and_by_keyboard() -> Result<()> {
    let (lab, _build) = seed_problem()?;
    let agent = agent(&lab)?;
    let browser = Browser::start(&lab)?;
    let tab = browser.open(&url(&agent), Sight::DESK)?;
    for (sight, name) in [
        (Sight::DESK, "desk.png"),
        (Sight { dark: true, ..Sight::DESK }, "desk-dark.png"),
        (Sight::PHONE, "phone.png"),
        (Sight { dark: true, ..Sight::PHONE }, "phone-dark.png"),
    ] {
        tab.look(sight)?;
        let found = tab.evaluate(FAINT)?;
        ensure!(found["texts"].as_u64() > Some(60), "{found}");
        assert_eq!(found["faint"], json!([]), "{sight:?}");
        // Not the width of the window: a phone would make that as wide as the page.
        let wide = tab.evaluate("document.documentElement.scrollWidth")?;
        ensure!(wide.as_u64() <= Some(sight.width.into()), "{sight:?}: it is {wide} wide");
        tab.screenshot(&picture(name))?;
    }
    // Text in the picture shrinks with it.
    let scale = tab.evaluate("document.querySelector('.drawing').getBoundingClientRect().width / 400")?;
    ensure!(scale.as_f64() > Some(0.8), "{scale}");

    let found = tab.accessible()?;
    let has = |role: &str, name: &str| found.iter().any(|(it, its)| it == role && its.contains(name));
    for (role, name) in [
        ("banner", ""),
        ("main", ""),
        ("contentinfo", ""),
        ("status", ""),
        ("heading", "Mismatch"),
        ("region", "Links with a wrong MTU: 6"),
        ("graphics-document", "MTUs on "),
        ("group", "container build, level 3"),
        ("group", "docker0: 1500, docker bridge, should be 1450"),
        ("table", ""),
        ("columnheader", "should have"),
        ("cell", "with --mtu=1450"),
        ("link", "survey as JSON"),
    ] {
        ensure!(has(role, name), "{role} {name}: {found:#?}");
    }

    tab.press_tab()?;
    assert_eq!(tab.evaluate("document.activeElement.textContent")?, "survey as JSON");
    assert_eq!(tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")?, "solid");
    assert_eq!(tab.complaints()?, Vec::<Value>::new());
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn without_scripts_the_first_view_is_whole_and_no_name_is_markup() -> Result<()> {
    let (lab, _build) = seed_problem()?;
    add_odd_link(&lab)?;
    let agent = agent(&lab)?;
    let browser = Browser::start(&lab)?;
    let tab = browser.open(&url(&agent), Sight { scripts: false, ..Sight::DESK })?;
    let text = tab.text()?;
    for said in
        ["1450", "Mismatch", "mtu-agent tune --netns pod --apply", "docker0 of netns pod", "both (echo)"]
    {
        ensure!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(tab.evaluate("document.querySelectorAll('.drawing .wrong').length")?, 6);
    assert_eq!(tab.evaluate("document.querySelectorAll('i').length")?, 0);
    assert_eq!(tab.evaluate("document.getElementById('live').textContent")?, "", "no script ran");
    assert_eq!(tab.complaints()?, Vec::<Value>::new());
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_page_that_was_opened_before_the_first_survey_fills_itself_and_one_whose_agent_is_gone_says_so()
-> Result<()> {
    let (lab, _build) = seed_problem()?;
    let agent = AgentSpec::new(MTU_AGENT).start(&lab)?;
    let browser = Browser::start(&lab)?;
    let tab = browser.open(&url(&agent), Sight::DESK)?;
    tab.until("document.body.dataset.state === 'mismatch' && document.querySelector('.drawing') !== null")?;
    agent.stop()?;
    tab.until("document.getElementById('live').textContent.startsWith('not live')")?;
    ensure!(tab.text()?.contains("Mismatch"), "what was seen last stays");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_hidden_tab_rests_and_one_that_is_looked_at_again_tells_what_it_missed() -> Result<()> {
    const LIVE: &str = "document.getElementById('live').textContent === 'live'";
    let (lab, _build) = seed_problem()?;
    let agent = agent(&lab)?;
    let browser = Browser::start(&lab)?;
    let tab = browser.open(&url(&agent), Sight::DESK)?;
    tab.until(LIVE)?;
    let hide = |hidden: bool| {
        tab.evaluate(&format!(
            "Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}});
             document.dispatchEvent(new Event('visibilitychange'))"
        ))
    };
    hide(true)?;
    tab.until("document.getElementById('live').textContent === 'resting'")?;
    lab.check_in(Place::Node, &[MTU_AGENT, "tune", "--netns", "pod", "--apply"])?;
    agent.until_mismatched(0)?;
    assert_eq!(tab.evaluate("document.body.dataset.state")?, "mismatch");
    hide(false)?;
    tab.until("document.body.dataset.state === 'fine'")?;
    tab.until(LIVE)?;
    assert_eq!(tab.complaints()?, Vec::<Value>::new());
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn graphviz_and_a_browser_draw_what_a_survey_prints() -> Result<()> {
    let (lab, _build) = seed_problem()?;
    add_odd_link(&lab)?;
    let printed = |form: &str| -> Result<String> {
        let output = lab.run(Place::Node, &[MTU_AGENT, "survey", "--target", SERVER, "--output", form])?;
        ensure!(output.status.code() == Some(1), "a mismatch is there: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let drawn = draw(&printed("dot")?)?;
    assert_eq!(drawn.matches("should be 1450").count(), 6, "{drawn}");

    let file = lab.path("/run/tmp/survey.svg");
    std::fs::write(&file, printed("svg")?)?;
    let browser = Browser::start(&lab)?;
    let tab = browser.open("file:///run/tmp/survey.svg", Sight::PHONE)?;
    assert_eq!(tab.evaluate("document.documentElement.nodeName")?, "svg", "it is no error page");
    assert_eq!(tab.evaluate("document.querySelectorAll('.wrong').length")?, 6);
    let names = tab.evaluate("[...document.querySelectorAll('.name')].map((name) => name.textContent)")?;
    ensure!(names.as_array().is_some_and(|names| names.contains(&SHOWN.into())), "{names}");
    assert_eq!(
        tab.evaluate("getComputedStyle(document.querySelector('.wrong text')).fill")?,
        "rgb(179, 38, 30)"
    );
    assert_eq!(tab.complaints()?, Vec::<Value>::new());
    Ok(())
}
