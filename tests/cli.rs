//! The command line, as a user meets it: help, exit codes, errors, pipes.

use std::io::Read as _;
use std::process::{Command, Output, Stdio};

fn mtu_agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mtu-agent"));
    command
        .args(arguments)
        .env_remove("NO_COLOR")
        .env_remove("MTU_AGENT_NODE_NAME")
        .env_remove("MTU_AGENT_TARGETS")
        .env_remove("MTU_AGENT_LOG");
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = mtu_agent(arguments).output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("it was not killed"), text(stdout), text(stderr))
}

#[test]
fn help_says_what_each_option_does() {
    for (name, arguments) in [
        ("help", &["--help"][..]),
        ("survey_help", &["survey", "--help"]),
        ("tune_help", &["tune", "--help"]),
    ] {
        let (code, stdout, _) = run(arguments);
        assert_eq!(code, 0);
        insta::assert_snapshot!(name, stdout);
    }
}

#[test]
fn bad_usage_is_64_says_what_is_wrong_and_prints_no_data() {
    for (arguments, said) in [
        (&["survey", "--target", "a b"][..], "\"a b\" is no target"),
        (&["survey", "--target", ""], "an IP address or a host name"),
        (&["survey", "--target", "http://example.org"], "is no target"),
        (&["survey", "--max-dind-mtu", "575"], "give 576 to 65535"),
        (&["survey", "--max-dind-mtu", "65536"], "give 576 to 65535"),
        (&["survey", "--max-dind-mtu", "-1"], "--max-dind-mtu"),
        (&["survey", "--output", "yaml"], "yaml"),
        (&["survey", "--of", "1", "--output", "json"], "--of"),
        (&["survey", "--nonsense"], "--nonsense"),
        (&["agent"], "--node-name NAME"),
        (&["agent"], "--standalone"),
        (&["agent", "--node-name", ""], "\"\" is no node's name"),
        (&["agent", "--node-name", "Node_1"], "kubectl get nodes"),
        (&["agent", "--standalone", "--metrics-listen", "9817"], "--metrics-listen"),
        (&["tune"], "--pod <POD>|--container"),
        (&["tune", "--apply"], "--all-docker"),
        (&["tune", "--apply", "--revert"], "cannot be used with"),
        (&["tune", "--revert", "--pod", "runner"], "cannot be used with"),
        (&["tune", "--revert", "--mode", "links"], "cannot be used with"),
        (&["tune", "--all-docker", "--pod", "runner"], "cannot be used with"),
        (&["tune", "--all-docker", "--mode", "mss"], "mss"),
        (&["tune", "--all-docker", "--max-dind-mtu", "575"], "give 576 to 65535"),
        (&["--log", "a=b=c", "survey"], "--log"),
        (&["controller", "--debounce", "0s"], "debounce is \"0s\": give a duration from 1s to 1h"),
        (&["controller", "--namespace", "Upper"], "namespace is \"Upper\": give the name"),
        (&["controller", "--webhook-host", "a b"], "--webhook-host takes a DNS name or an IP address"),
        (&["controller", "--certificates", "somebody"], "self-signed, cert-manager"),
        (&[], "Usage"),
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (64, ""), "{arguments:?}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}

#[test]
fn whom_nobody_knows_is_2_with_what_to_give_instead() {
    for (who, said) in [("4294967295", "no process 4294967295"), ("nobody-here", "nobody here is called")] {
        let (code, stdout, stderr) = run(&["survey", "--of", who]);
        assert_eq!((code, stdout.as_str()), (2, ""), "{who}");
        assert!(stderr.contains(said), "{stderr}");
    }
}

#[test]
fn a_scope_that_is_not_there_is_2_and_nothing_is_planned() {
    for (arguments, said) in [
        (["--pod", "nobody/here"], "nobody here is called"),
        (["--container", "nobody-here"], "nobody here is called"),
        (["--netns", "host"], "the host's own namespace"),
    ] {
        let (code, stdout, stderr) = run(&["tune", arguments[0], arguments[1]]);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(stderr.contains(said), "{stderr}");
    }
}

#[test]
fn with_nothing_recorded_there_is_nothing_to_take_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path().to_str().expect("text");
    let (code, stdout, stderr) = run(&["tune", "--revert", "--directory", directory]);
    // Whoever may not write at all is told so first, with the capabilities that it takes.
    let may_not = code == 2 && stderr.contains("nothing was changed, for it would need CAP_");
    assert!(may_not || (code, stdout.as_str()) == (0, "nothing is recorded as changed\n"), "{code} {stderr}");
}

#[test]
fn a_survey_without_a_target_says_that_nothing_was_measured() {
    let (_, stdout, stderr) = run(&["survey"]);
    assert!(stdout.contains("give --target HOST to measure"), "{stdout}");
    assert_eq!(stderr, "");
}

#[test]
fn json_on_stdout_is_one_document_of_the_schema() {
    let (code, stdout, _) = run(&["survey", "--output", "json"]);
    let survey: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(
        (&survey["schema"], &survey["namespaces"][0]["id"]),
        (&"mtu-agent.dev/survey/v1".into(), &"host".into())
    );
    assert!([0, 1, 2].contains(&code));
    assert_eq!(survey["paths"], serde_json::json!([]));
}

#[test]
fn pictures_on_stdout_are_whole_and_end_as_the_text_does() {
    let (code, ..) = run(&["survey"]);
    for (form, begins, ends) in [("svg", "<?xml ", "</svg>\n"), ("dot", "digraph mtu {\n", "}\n")] {
        let (exit, stdout, stderr) = run(&["survey", "--output", form]);
        assert_eq!((exit, stderr.as_str()), (code, ""), "{form}");
        assert!(stdout.starts_with(begins) && stdout.ends_with(ends), "{stdout}");
        assert!(stdout.contains("host") && stdout.contains("level 0"), "{stdout}");
    }
}

#[test]
fn a_closed_pipe_ends_silently() {
    let mut child = mtu_agent(&["survey", "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let mut complaint = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut complaint).expect("text");
    let code = child.wait().expect("it ends").code();
    assert_eq!((complaint.as_str(), code), ("", run(&["survey"]).0.into()));
}

#[test]
fn colour_comes_when_it_is_asked_for() {
    assert!(run(&["survey", "--color", "always"]).1.contains("\x1b["));
    assert!(!run(&["survey"]).1.contains("\x1b["));
    let no_color =
        mtu_agent(&["survey", "--color", "always"]).env("NO_COLOR", "1").output().expect("it starts");
    assert!(
        String::from_utf8_lossy(&no_color.stdout).contains("\x1b["),
        "the option wins over the environment"
    );
}
