//! Text for a terminal: colour when it is wanted, lines that fit.

use anstyle::{AnsiColor, Style};

/// How text is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    /// Whether to colour.
    pub colour: bool,
    /// Columns that a line may take; `None` for as many as it needs.
    pub width: Option<usize>,
}

impl Paint {
    /// Neither colour nor a limit: for files and pipes.
    pub const PLAIN: Self = Self { colour: false, width: None };

    /// What is wrong.
    pub fn bad(self, text: &str) -> String {
        self.styled(Style::new().bold().fg_color(Some(AnsiColor::Red.into())), text)
    }

    /// What is right.
    pub fn good(self, text: &str) -> String {
        self.styled(Style::new().bold().fg_color(Some(AnsiColor::Green.into())), text)
    }

    /// What heads a part.
    pub fn head(self, text: &str) -> String {
        self.styled(Style::new().bold(), text)
    }

    /// What may be overlooked.
    pub fn faint(self, text: &str) -> String {
        self.styled(Style::new().dimmed(), text)
    }

    /// The line, cut to the width with a `…` where it is too long. Takes text without colours.
    pub fn fit(self, line: &str) -> String {
        let line = line.trim_end();
        match self.width {
            Some(width) if line.chars().count() > width => {
                let kept: String = line.chars().take(width.saturating_sub(1)).collect();
                kept + "…"
            }
            Some(_) | None => line.to_owned(),
        }
    }

    fn styled(self, style: Style, text: &str) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests;
