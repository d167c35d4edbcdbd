use super::*;

fn fit(width: usize, line: &str) -> String {
    Paint { colour: false, width: Some(width) }.fit(line)
}

#[test]
fn a_line_that_fits_stays_as_it_is() {
    assert_eq!(fit(5, "12345"), "12345");
    assert_eq!(Paint::PLAIN.fit(&"x".repeat(500)), "x".repeat(500));
}

#[test]
fn a_line_that_does_not_fit_ends_in_an_ellipsis() {
    assert_eq!(fit(5, "123456"), "1234…");
    assert_eq!(fit(1, "123456"), "…");
}

#[test]
fn characters_count_and_not_bytes() {
    assert_eq!(fit(4, "├─ é"), "├─ é");
    assert_eq!(fit(4, "├─ éé"), "├─ …");
}

#[test]
fn blanks_at_the_end_take_no_room() {
    assert_eq!(fit(5, "12345   "), "12345");
    assert_eq!(Paint::PLAIN.fit("12345   "), "12345");
}

#[test]
fn only_a_paint_with_colour_colours() {
    let colours = Paint { colour: true, width: None };
    for styled in [Paint::bad, Paint::good, Paint::head, Paint::faint] {
        assert_eq!(styled(Paint::PLAIN, "text"), "text");
        let text = styled(colours, "text");
        assert!(
            text.starts_with('\u{1b}') && text.ends_with("\u{1b}[0m") && text.contains("text"),
            "{text:?}"
        );
    }
}
