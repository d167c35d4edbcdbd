use super::*;
use crate::discovery::identity::Identity;
use crate::discovery::path::{Path, PathResult};
use crate::domain::link::LinkKind;
use crate::domain::mtu::PathMtu;
use crate::domain::search::Verdict as Found;
use crate::domain::topology::HOST;
use crate::domain::topology::sample::{Docker, Sample, machine, pod};
use crate::publish::sample::{healthy, identity, nested_paths, paths, searched, seed_problem, survey};

fn page(survey: &Survey) -> String {
    let since = Since::of(survey, None);
    render(&View { survey, since: &since, version: "0a", overdue: None })
}

/// The page without the picture, the style and the script, which have tests of their own.
fn words(page: &str) -> String {
    let mut words = page.to_owned();
    for (begin, end) in [("<style>", "</style>"), ("<script>", "</script>"), ("<svg ", "</svg>")] {
        let at = words.find(begin).unwrap();
        let length = words[at..].find(end).unwrap() + end.len();
        words.replace_range(at..at + length, "");
    }
    words
}

fn black_hole(target: &str, bytes: u16) -> Path {
    let hole = searched(Found::BlackHole { path_mtu: PathMtu::new(bytes).unwrap() }, None);
    Path::new(target.into(), Some("203.0.113.1".parse().unwrap()), hole)
}

/// A plain docker host whose uplink is smaller than docker0.
fn docker_host(paths: Vec<Path>) -> Survey {
    let mut sample = machine(1460);
    Docker::start(&mut sample, HOST, 1500);
    survey(&sample, vec![identity("host"), identity("nsid:0")], Vec::new(), paths)
}

#[test]
fn the_seed_problem_as_a_page() {
    insta::assert_snapshot!(words(&page(&seed_problem(paths()))));
}

#[test]
fn a_host_where_all_is_well_as_a_page() {
    insta::assert_snapshot!(words(&page(&healthy())));
}

#[test]
fn before_the_first_survey_the_page_says_so_and_has_every_part_to_fill_in() {
    let (waiting, whole) = (waiting("node-1"), page(&seed_problem(paths())));
    let parts = |page: &str| {
        let tags = page.split('<').filter(|tag| tag.contains(" data-part")).map(str::to_owned);
        tags.map(|tag| tag.split("id=\"").nth(1).unwrap().split('"').next().unwrap().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(parts(&waiting), parts(&whole));
    assert_eq!(parts(&page(&healthy())), parts(&whole));
    assert!(waiting.contains("No survey is done yet."));
}

#[test]
fn the_policy_allows_the_style_and_the_script_that_are_in_the_page_and_nothing_else() {
    let page = page(&healthy());
    let policy = policy();
    for (name, begin, end) in [("style", "<style>", "</style>"), ("script", "<script>", "</script>")] {
        let mut parts = page.split(begin);
        let inside = parts.nth(1).unwrap().split(end).next().unwrap();
        assert!(parts.next().is_none(), "there is one {name}");
        let hash = STANDARD.encode(digest(&SHA256, inside.as_bytes()));
        assert!(policy.contains(&format!("{name}-src 'sha256-{hash}';")), "{policy}");
    }
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(!page.contains(" style=") && !page.contains(" onclick="), "the policy would not allow it");
    assert!(!page.contains("http://") || page.matches("http://www.w3.org/2000/svg").count() == 2, "{page}");
}

#[test]
fn what_others_called_a_thing_is_text() {
    const NAMES: [&str; 2] = ["<img src=x>", "\"><script>1</script>"];
    let mut sample = machine(1400);
    for name in NAMES {
        let bridge = sample.link(HOST, name, LinkKind::Bridge, 1500);
        let inner = sample.nested_in(HOST);
        let [_, outer] = sample.veth((inner, name), (HOST, name), 1500);
        sample.enslave(outer, bridge);
    }
    let named = NAMES.map(|name| Identity { name: Some(name.into()), ..identity(name) });
    let odd = black_hole("<b>", 1300);
    let page =
        page(&survey(&sample, [identity("host")].into_iter().chain(named).collect(), Vec::new(), vec![odd]));
    for markup in ["<img", "<b>", "<script>1"] {
        assert!(!page.contains(markup), "{markup}: {page}");
    }
    assert!(page.contains("&lt;img src=x&gt;") && page.contains("&lt;b&gt;"), "{page}");
}

#[test]
fn each_state_has_its_words() {
    let state = |survey: &Survey| Verdict::of(survey).state;
    assert_eq!(state(&healthy()), State::Fine);
    assert_eq!(state(&seed_problem(Vec::new())), State::Mismatch);
    assert_eq!(state(&seed_problem(paths())), State::BlackHole);
    let alone = survey(&Sample::host(), vec![identity("host")], Vec::new(), Vec::new());
    assert_eq!(state(&alone), State::Unknown);
    assert!(page(&alone).contains("<strong>unknown</strong>"));
    let late = Verdict::of(&healthy()).late_by(Some(Duration::from_secs(40)));
    assert_eq!(
        (late.state, late.sentences[0].as_str()),
        (State::Late, "It should have looked again 40 s ago. What it saw last:")
    );
}

#[test]
fn the_command_names_the_pod_and_what_is_measured() {
    let command = |survey: &Survey| Verdict::of(survey).command;
    assert_eq!(
        command(&seed_problem(Vec::new())).as_deref(),
        Some("mtu-agent tune --pod ci/runner-0 --apply")
    );
    let measured = command(&seed_problem(paths()));
    assert_eq!(measured.as_deref(), Some("mtu-agent tune --pod ci/runner-0 --target example.org --apply"));
    assert_eq!(command(&docker_host(Vec::new())).as_deref(), Some("mtu-agent tune --all-docker --apply"));
    assert_eq!(command(&healthy()), None);
}

#[test]
fn a_black_hole_that_nothing_nested_falls_into_is_shown_by_a_probe() {
    let odd = survey(&machine(1500), vec![identity("host")], Vec::new(), vec![black_hole("a'b", 1400)]);
    assert_eq!(Verdict::of(&odd).command.as_deref(), Some("mtu-agent probe 'a'\\''b'"));
}

#[test]
fn of_many_pods_some_are_named_and_the_rest_is_counted() {
    let mut sample = machine(1500);
    let mut identities = vec![identity("host")];
    for number in 0..8 {
        let (pod, _) = pod(&mut sample, 1450);
        identities.push(Identity {
            name: Some(format!("ci/runner-{number}")),
            pod_uid: Some(format!("uid-{number}")),
            ..identity(&format!("nsid:{number}"))
        });
        Docker::start(&mut sample, pod, 1500);
        identities.push(identity(&format!("nsid:1{number}")));
    }
    let verdict = Verdict::of(&survey(&sample, identities, Vec::new(), Vec::new()));
    let command = verdict.command.unwrap();
    assert_eq!(command.matches(" --pod ").count(), 5, "{command}");
    let told = verdict.sentences.last().unwrap();
    assert!(told.contains("a part of 24 links (3 more to be named like these)"), "{told}");
}

#[test]
fn since_is_when_a_mismatch_was_first_seen_and_lasts_as_long_as_it_does() {
    let at = |survey: Survey, second: i64| Survey {
        observed_at: Timestamp::from_second(second).unwrap(),
        ..survey
    };
    let of = |survey: &Survey, since: &Since| {
        let told = survey.findings.iter().map(|finding| since.get(survey, finding).unwrap().told());
        told.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let first = at(seed_problem(Vec::new()), 0);
    let since = Since::of(&first, None);
    assert_eq!(of(&first, &since), ["1970-01-01 00:00:00 UTC or earlier"]);
    let second = at(seed_problem(Vec::new()), 60);
    let since = Since::of(&second, Some(&since));
    assert_eq!(of(&second, &since), ["1970-01-01 00:00:00 UTC or earlier"]);
    let mended = Since::of(&at(healthy(), 120), Some(&since));
    let third = at(seed_problem(Vec::new()), 180);
    assert_eq!(of(&third, &Since::of(&third, Some(&mended))), ["1970-01-01 00:03:00 UTC"]);
}

#[test]
fn a_path_that_was_not_probed_has_no_direction() {
    let quiet = Path::new("quiet".into(), None, PathResult::NotProbed { learned: None });
    let words = words(&page(&docker_host(vec![quiet])));
    assert!(words.contains("<td role=\"cell\" data-label=\"direction\">–</td>"), "{words}");
}

#[test]
fn what_was_tuned_and_does_not_carry_full_size_packets_is_wrong_and_comes_first() {
    let tuned = healthy().with_nested_paths(vec![]);
    assert_eq!(State::of(&tuned), State::Fine);
    let tuned = seed_problem(Vec::new()).with_nested_paths(nested_paths());
    let page = words(&page(&tuned));
    let nested = page.split("<section id=\"nested\"").nth(1).unwrap().split("</section>").next().unwrap();
    insta::assert_snapshot!(nested);
    assert!(page.contains("From 1 tuned namespace full-size packets do not get through."), "{page}");
    let alone = Survey { findings: Vec::new(), ..tuned };
    assert_eq!(State::of(&alone), State::Mismatch);
}
