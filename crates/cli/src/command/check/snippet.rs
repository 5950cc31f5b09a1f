//! The source line of a problem, with the value at its place underlined.

use std::io::IsTerminal as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use pointsman::policy::Problem;

/// The source line at the place of `problem` in `text`, in colour for a terminal; `None` if `text` has no such place.
pub fn render(text: &str, problem: &Problem, level: Level<'_>) -> Option<String> {
    let span = value_at(text, problem.line, problem.column)?;
    let annotation = AnnotationKind::Primary.span(span);
    let group = Group::with_level(level).element(Snippet::source(text).annotation(annotation));
    let renderer = match std::io::stdout().is_terminal() {
        true => Renderer::styled(),
        false => Renderer::plain(),
    };
    Some(renderer.render(&[group]))
}

/// The bytes of the value, or of the name, that begins at this line and column, both from 1 and in characters. An object or a
/// list is marked by its bracket.
fn value_at(text: &str, line: u32, column: u32) -> Option<Range<usize>> {
    let before = text
        .split_inclusive('\n')
        .take((line as usize).checked_sub(1)?);
    let start_of_line = before.map(str::len).sum::<usize>();
    let line = text.get(start_of_line..)?.lines().next()?;
    let (offset, first) = line.char_indices().nth((column as usize).checked_sub(1)?)?;
    let value = line.get(offset..)?;
    let length = match first {
        quote @ ('"' | '\'') => {
            let mut is_escaped = false;
            let end = value.char_indices().skip(1).find(|(_, letter)| {
                let ends = *letter == quote && !is_escaped;
                is_escaped = *letter == '\\' && !is_escaped;
                ends
            });
            end.map_or(value.len(), |(at, _)| at + 1)
        }
        '{' | '[' => 1,
        _ => value
            .find([',', '}', ']', ':', ' ', '\t'])
            .unwrap_or(value.len()),
    };
    let start = start_of_line + offset;
    Some(start..start + length.max(first.len_utf8()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_value_at_a_place_is_found() {
        let text = "{\"ä\": \"x\\\"y\", \"n\": 12.5,\n\t\"list\": [true]}\nplain: word # why\n";
        let at = |line, column| text.get(value_at(text, line, column).unwrap()).unwrap();
        assert_eq!(at(1, 2), "\"ä\"");
        assert_eq!(at(1, 7), "\"x\\\"y\"");
        assert_eq!(at(1, 20), "12.5");
        assert_eq!(at(2, 2), "\"list\"");
        assert_eq!(at(2, 10), "[");
        assert_eq!(at(2, 11), "true");
        assert_eq!(at(3, 8), "word");
        assert_eq!(value_at(text, 9, 1), None);
        assert_eq!(value_at(text, 1, 99), None);
    }
}
