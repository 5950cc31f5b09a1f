//! Plain tables for terminals: columns padded to their widest cell, in terminal cells rather than characters.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Which side a column's cells keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table with a head.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(Side, usize)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no rows.
    pub fn new(head: &[(&str, Side)]) -> Table {
        let mut table = Table {
            columns: head.iter().map(|(_, side)| (*side, 0)).collect(),
            rows: Vec::new(),
        };
        table.push(head.iter().map(|(name, _)| (*name).to_owned()).collect());
        table
    }

    /// Adds a row; cells beyond the head's are dropped.
    pub fn push(&mut self, row: Vec<String>) {
        for ((_, width), cell) in self.columns.iter_mut().zip(&row) {
            *width = (*width).max(cell.width());
        }
        self.rows.push(row);
    }

    /// The head and the rows.
    pub fn rows(&self) -> impl Iterator<Item = &[String]> {
        self.rows.iter().map(Vec::as_slice)
    }

    /// The table, a line each row, with a rule under the head.
    pub fn render(&self) -> String {
        let mut lines: Vec<String> = self.rows.iter().map(|row| self.line(row)).collect();
        let total: usize = self.columns.iter().map(|(_, width)| width + 2).sum();
        lines.insert(lines.len().min(1), "─".repeat(total.saturating_sub(2)));
        lines.join("\n") + "\n"
    }

    fn line(&self, row: &[String]) -> String {
        let mut line = String::new();
        for ((side, width), cell) in self.columns.iter().zip(row) {
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            match side {
                Side::Left => line.extend([cell.as_str(), &padding, "  "]),
                Side::Right => line.extend([padding.as_str(), cell, "  "]),
            }
        }
        line.trim_end().to_owned()
    }
}

/// The text on one line, cut to `width` terminal cells with an ellipsis.
pub fn cut(text: &str, width: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.width() <= width {
        return line;
    }
    let mut out = String::new();
    let mut used = 1;
    for letter in line.chars() {
        used += letter.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(letter);
    }
    out + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_padded_to_their_side() {
        let mut table = Table::new(&[("name", Side::Left), ("ms", Side::Right)]);
        table.push(vec!["a".into(), "12.5".into()]);
        table.push(vec!["日本".into(), "7".into()]);
        assert_eq!(
            table.render(),
            "name    ms\n──────────\na     12.5\n日本     7\n"
        );
    }

    #[test]
    fn long_text_is_cut_by_cells() {
        assert_eq!(cut("one\ntwo  three", 20), "one two three");
        assert_eq!(cut("one two three", 8), "one two…");
        assert_eq!(cut("日本語です", 5), "日本…");
    }
}
