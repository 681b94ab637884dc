//! The name that somebody probably meant.

/// The candidate that looks most like `word`: most of its letters, in about the same order. Case, hyphens and
/// underscores do not count. `None` if nothing is similar enough to be a slip of the keyboard.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = fold(word);
    if wanted.is_empty() || wanted.chars().count() > MAX_CHARS {
        return None;
    }
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let similarity = similarity(&wanted, &fold(candidate));
        if similarity >= LEAST_SIMILARITY && best.is_none_or(|(best, _)| similarity > best) {
            best = Some((similarity, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Longer words are not compared: nobody mistypes a whole sentence.
const MAX_CHARS: usize = 100;

/// `epochs` and `max_epochs` have 0.9, `seed` and `speed` 0.9, `train` and `test` 0.6.
const LEAST_SIMILARITY: f64 = 0.65;

/// What a name gets that contains the other as a whole, for example `epochs` and `max_epochs`.
const WHOLE_WORD: f64 = 0.9;

fn similarity(wanted: &str, candidate: &str) -> f64 {
    let edits = strsim::normalized_damerau_levenshtein(wanted, candidate);
    let contains = |whole: &str, part: &str| part.chars().count() >= 4 && whole.contains(part);
    if contains(candidate, wanted) || contains(wanted, candidate) { edits.max(WHOLE_WORD) } else { edits }
}

fn fold(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '-' | '_' | ' ' | '.')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let keys = ["max_epochs", "batch_size", "learning_rate", "learning_rate_fc", "seed", "test", "train"];
        for (typed, meant) in [
            ("epochs", Some("max_epochs")),
            ("batchsize", Some("batch_size")),
            ("batch-size", Some("batch_size")),
            ("BATCH_SIZES", Some("batch_size")),
            ("lerning_rate", Some("learning_rate")),
            ("learning_rate_cf", Some("learning_rate_fc")),
            ("sede", Some("seed")),
            ("traim", Some("train")),
            ("colour", None),
            ("", None),
            ("_", None),
        ] {
            assert_eq!(nearest(typed, keys), meant, "{typed}");
        }
        assert_eq!(nearest(&"x".repeat(5000), keys), None);
        assert_eq!(nearest("seed", []), None);
    }
}
