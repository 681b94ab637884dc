//! Doc comments as plain text.

/// The first paragraph of a doc comment as plain text in one line.
#[must_use]
pub fn summary(doc: &str) -> String {
    plain_text(doc).lines().next().unwrap_or_default().to_owned()
}

/// A doc comment as plain text: one line per paragraph, without links.
#[must_use]
pub fn plain_text(doc: &str) -> String {
    let mut paragraphs: Vec<String> = Vec::new();
    let mut is_new = true;
    for line in doc.lines().map(str::trim) {
        if line.is_empty() {
            is_new = true;
        } else if let (false, Some(paragraph)) = (is_new, paragraphs.last_mut()) {
            paragraph.push(' ');
            paragraph.push_str(line);
        } else {
            paragraphs.push(line.to_owned());
            is_new = false;
        }
    }
    paragraphs.iter().map(|paragraph| without_links(paragraph)).collect::<Vec<_>>().join("\n")
}

/// Replaces ``[`X`]`` and ``[`X`](target)`` by `` `X` ``. Other brackets stay.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("[`") {
        plain.push_str(before);
        let Some((code, after)) = link.split_once("`]") else {
            return plain + "[`" + link;
        };
        plain += &format!("`{code}`");
        rest = match after.strip_prefix('(').and_then(|target| target.split_once(')')) {
            Some((_, after)) => after,
            None => after,
        };
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_paragraph_are_joined_and_links_become_code() {
        let doc = " How [`Net`] and [`train`](crate::train) differ,\n in two lines.\n\n More [here].\n";
        assert_eq!(plain_text(doc), "How `Net` and `train` differ, in two lines.\nMore [here].");
        assert_eq!(summary(doc), "How `Net` and `train` differ, in two lines.");
        assert_eq!(summary(""), "");
        assert_eq!(plain_text("an open [`link"), "an open [`link");
    }
}
