//! What all pages of a study share: a page is one file with nothing outside, has one style, and holds its pictures.

use crate::base::plot::escape;
use crate::base::text::base64;

/// A page with this title, in the browser's tab and as first heading. `body` is HTML.
pub(super) fn document(title: &str, body: &str) -> String {
    let (title, style) = (escape(title), include_str!("report/style.css"));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{style}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// A PNG as an image of the page. Browsers decode an image when it is scrolled near.
pub(super) fn picture(png: &[u8], alt: &str) -> String {
    format!("<img loading=\"lazy\" alt=\"{}\" src=\"data:image/png;base64,{}\">", escape(alt), base64(png))
}

/// A number and its name, as a card.
pub(super) fn tile(value: &str, label: &str) -> String {
    format!("<div class=\"card tile\"><b>{}</b><span>{}</span></div>\n", escape(value), escape(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_and_names_are_text() {
        let page = document("a<b>&", &picture(b"f", "\"x\""));
        assert!(
            page.contains("<title>a&lt;b&gt;&amp;</title>") && page.contains("base64,Zg==") && !page.contains("\"\"x")
        );
    }
}
