//! What each tool prints, read.

use serde_json::Value;

use crate::tool::Answer;

/// Our JSON; a lower bound is a number too.
pub(crate) fn own(document: &Value) -> Answer {
    let mtu = document["path_mtu"].as_u64().and_then(|mtu| u16::try_from(mtu).ok());
    mtu.map_or(Answer::None, Answer::Mtu)
}

/// `Resume: pmtu 1450 hops 2 back 2`.
pub(crate) fn tracepath(text: &str) -> Answer {
    last_number_after(text, "Resume: pmtu ")
}

/// ` 2  10.9.1.2  0.012 ms F=1450`; the last one counts.
pub(crate) fn traceroute(text: &str) -> Answer {
    last_number_after(text, " F=")
}

/// `pmtud: ver 2 ifmtu 1500, pmtu 1450, notec 1`; 0 is none.
pub(crate) fn scamper(text: &str) -> Answer {
    let line = text.lines().find(|line| line.starts_with("pmtud:")).unwrap_or_default();
    match last_number_after(line, ", pmtu ") {
        Answer::Mtu(0) => Answer::None,
        answer @ (Answer::Mtu(_) | Answer::Range(_) | Answer::None) => answer,
    }
}

/// `|_path-mtu: PMTU == 1450`, or `|_path-mtu: 1006 <= PMTU < 1492`.
pub(crate) fn nmap(text: &str) -> Answer {
    match last_number_after(text, "PMTU == ") {
        Answer::None => {
            let said = text.lines().find_map(|line| line.split_once("path-mtu: "));
            said.map_or(Answer::None, |(_, range)| Answer::Range(range.trim().to_owned()))
        }
        answer @ (Answer::Mtu(_) | Answer::Range(_)) => answer,
    }
}

/// `Frag needed and DF set (mtu = 1450)`, `Packet too big: mtu=1450` or `message too long, mtu=1450`.
pub(crate) fn ping_ptb(text: &str) -> Option<u16> {
    ["mtu = ", "mtu=", "mtu: "].iter().find_map(|before| match last_number_after(text, before) {
        Answer::Mtu(mtu) => Some(mtu),
        Answer::Range(_) | Answer::None => None,
    })
}

fn last_number_after(text: &str, before: &str) -> Answer {
    let digits = text.rsplit_once(before).map(|(_, after)| {
        let end = after.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(after.len());
        &after[..end]
    });
    digits.and_then(|digits| digits.parse().ok()).map_or(Answer::None, Answer::Mtu)
}
