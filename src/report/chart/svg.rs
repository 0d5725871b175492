//! Text of SVG elements. Colours are classes, so that the page's style decides, light or dark.

use std::fmt::Write as _;

use crate::report::markup::escaped;

/// A line through the points, interrupted where there is none. Each is cut to a tenth of a pixel.
pub(super) fn polyline(
    class: &str,
    points: impl IntoIterator<Item = Option<(f64, f64)>>,
) -> String {
    let mut path = String::new();
    let mut is_down = false;
    for point in points {
        if let Some((x, y)) = point {
            let letter = if is_down { 'L' } else { 'M' };
            let _ = write!(path, "{letter}{x:.1} {y:.1}");
        }
        is_down = point.is_some();
    }
    if path.is_empty() {
        return String::new();
    }
    format!("<path class=\"{class}\" d=\"{path}\"/>")
}

/// The same in steps: each point's height holds until the next.
pub(super) fn steps(class: &str, points: &[(f64, f64)], until: f64) -> String {
    let ends = points.iter().map(|(x, _)| *x).skip(1).chain([until]);
    let edges = points.iter().zip(ends).flat_map(|((x, y), end)| [Some((*x, *y)), Some((end, *y))]);
    polyline(class, edges)
}

/// A rectangle, with words for who points at it.
pub(super) fn rect(class: &str, (x, y): (f64, f64), (w, h): (f64, f64), words: &str) -> String {
    let title = match words {
        "" => String::new(),
        words => format!("<title>{}</title>", escaped(words)),
    };
    format!(
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\">\
         {title}</rect>"
    )
}

/// A word. `anchor` is start, middle or end.
pub(super) fn label(class: &str, anchor: &str, (x, y): (f64, f64), words: &str) -> String {
    let words = escaped(words);
    format!(
        "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>"
    )
}

/// A straight line.
pub(super) fn line(class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> String {
    format!("<path class=\"{class}\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>")
}

/// The whole drawing; `words` are what a screen reader says of it.
pub(super) fn drawing((width, height): (f64, f64), words: &str, inside: &str) -> String {
    let words = escaped(words);
    format!(
        "<div class=\"chart\"><svg viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"{words}\">{inside}</svg></div>"
    )
}

/// A figure with as many digits as it deserves.
pub(super) fn figure(figure: f64) -> String {
    match figure.abs() {
        0.0 => "0".to_owned(),
        least if least < 0.001 => format!("{figure:.0e}"),
        _ => {
            let text = format!("{figure:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_where_there_is_nothing() {
        let points = [Some((0.0, 1.0)), Some((2.0, 3.04)), None, Some((9.0, 9.0)), None];
        assert_eq!(polyline("a", points), r#"<path class="a" d="M0.0 1.0L2.0 3.0M9.0 9.0"/>"#);
        assert_eq!(polyline("a", [None]), "");
        let held = steps("a", &[(0.0, 5.0), (10.0, 6.0)], 20.0);
        assert_eq!(held, r#"<path class="a" d="M0.0 5.0L10.0 5.0L10.0 6.0L20.0 6.0"/>"#);
    }

    #[test]
    fn no_text_can_end_the_element_that_it_is_in() {
        let words = rect("a", (0.0, 0.0), (1.0, 1.0), "</title><script>");
        assert!(words.contains("&lt;/title&gt;&lt;script&gt;"), "{words}");
    }

    #[test]
    fn figures_have_no_idle_digits() {
        assert_eq!([0.0, 0.5, 1.0, 100.0, 0.125].map(figure), ["0", "0.5", "1", "100", "0.125"]);
    }
}
