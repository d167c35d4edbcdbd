//! Text in HTML and SVG. What others chose (a link may be called anything but `/`) never becomes markup.

use std::fmt::{self, Display, Formatter};

/// Text as content or as the value of an attribute in quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for char in self.0.chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(printable(other))?,
            }
        }
        Ok(())
    }
}

/// The character, or a sign in its place where it cannot be shown: XML has no control characters, not even escaped,
/// and one that turns the direction of writing would have a name read as another.
pub(super) fn printable(char: char) -> char {
    match char {
        '\n' => ' ',
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(char)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\u{7f}' => '\u{2421}',
        '\u{80}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => char::REPLACEMENT_CHARACTER,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
            char::REPLACEMENT_CHARACTER
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_name_is_text() {
        let name = "<b a=\"1\" c='2'>&amp;";
        let expected = "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;";
        assert_eq!(Escaped(name).to_string(), expected);
    }

    #[test]
    fn what_cannot_be_shown_is_a_sign_that_can() {
        assert_eq!(Escaped("a\u{1}b\u{7f}\n").to_string(), "a\u{2401}b\u{2421} ");
        assert_eq!(Escaped("eth\u{202e}0\u{feff}\u{ffff}").to_string(), "eth\u{fffd}0\u{fffd}\u{fffd}");
        assert_eq!(Escaped("grün 网").to_string(), "grün 网");
    }
}
