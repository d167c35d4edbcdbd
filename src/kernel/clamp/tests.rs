use super::*;

fn errno(errno: Errno) -> io::Error {
    io::Error::from(errno)
}

fn rule(expressions: &[Vec<u8>]) -> Vec<u8> {
    [text(NFTA_RULE_TABLE, TABLE), nested(NFTA_RULE_EXPRESSIONS, expressions)].concat()
}

#[test]
fn a_rule_with_other_or_fewer_expressions_is_not_the_clamp() {
    let ours = expressions().map(|it| it.to_bytes());
    assert_eq!(is_clamp(&rule(&ours)).ok(), Some(true));
    assert_eq!(is_clamp(&rule(&ours[1..])).ok(), Some(false));
    assert_eq!(is_clamp(&text(NFTA_RULE_TABLE, TABLE)).ok(), Some(false));
    for position in 0..ours.len() {
        let mut other = ours.clone();
        let last = other[position].iter().rposition(|byte| *byte != 0).expect("it says something");
        other[position][last] ^= 1;
        assert_ne!(is_clamp(&rule(&other)).ok(), Some(true), "expression {position}");
    }
}

#[test]
fn what_the_kernel_adds_to_an_expression_is_no_difference() {
    let mut expressions = expressions();
    expressions[3].attributes.push(number(6, 0)); // NFTA_BITWISE_OP, since Linux 5.6
    assert_eq!(is_clamp(&rule(&expressions.map(|it| it.to_bytes()))).ok(), Some(true));
}

#[test]
fn an_answer_that_is_cut_short_is_an_error_and_no_panic() {
    let whole = rule(&expressions().map(|it| it.to_bytes()));
    for length in 0..whole.len() {
        assert_ne!(is_clamp(&whole[..length]).ok(), Some(true), "{length} bytes");
    }
}

#[test]
fn a_kernel_without_nftables_is_told_apart_from_a_refusal() {
    const LACKS: &str = "this kernel lacks";
    let refused = |message, it| Failure::Refused { message, source: errno(it) };
    for (attempt, failure, why) in [
        ("make", Failure::Open(errno(Errno::PROTONOSUPPORT)), LACKS),
        ("make", refused(None, Errno::OPNOTSUPP), LACKS),
        ("make", refused(None, Errno::NOMEM), "refused by the kernel"),
        ("make", refused(Some(4), Errno::NOENT), LACKS),
        ("make", refused(Some(4), Errno::INVAL), "refused by the kernel"),
        (READ, refused(Some(0), Errno::INVAL), LACKS),
        ("make", refused(None, Errno::PERM), "needs CAP_NET_ADMIN"),
        ("make", refused(Some(3), Errno::BUSY), "refused by the kernel"),
        ("make", Failure::Exchange(errno(Errno::NOBUFS)), "exchange with the kernel"),
    ] {
        let error = meaning(attempt, failure);
        let told = format!("{attempt} nftables table inet mtu_agent: {why}");
        assert!(error.to_string().starts_with(&told), "{error}");
        assert_eq!(matches!(error, ClampError::Unsupported { .. }), why == LACKS);
    }
}
