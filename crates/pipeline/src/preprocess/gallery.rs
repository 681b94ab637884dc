//! `qc.html`: the pictures of all scans on one page, those to look at first.

use std::path::Path;

use brainreel_artifact::write_atomic;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::quality::Graded;
use crate::StageError;
use crate::failures::Failure;

const STYLE: &str = "\
body{font:14px system-ui,sans-serif;background:#0e1013;color:#dfe3ea;margin:1.5rem}\
h1{font-size:1.3rem}p{max-width:60rem;color:#aab}\
article{margin:0 0 1.5rem;padding:.6rem;border:1px solid #2a2f38;border-radius:8px}\
article.look{border-color:#ff8a7a}\
h2{font-size:1rem;margin:.1rem 0 .4rem}img{max-width:100%;height:auto;display:block}\
.why{color:#ff8a7a}";

/// A scan and where its picture lies, relative to the page.
pub(super) struct Shown<'a> {
    pub(super) graded: &'a Graded<'a>,
    pub(super) picture: String,
}

/// Writes the page.
pub(super) fn write(folder: &Path, scans: &[Shown<'_>], failures: &[Failure]) -> Result<(), StageError> {
    let mut order: Vec<&Shown<'_>> = scans.iter().collect();
    order.sort_by_key(|scan| !needs_attention(scan.graded));
    let n_marked = scans.iter().filter(|scan| needs_attention(scan.graded)).count();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "brainreel: quality of preprocessing" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Quality of preprocessing" }
                p {
                    (scans.len()) " scans, " (n_marked) " to look at (first), " (failures.len()) " failed. "
                    "The numbers of all scans are in " a href="qc.tsv" style="color:#8fb8ff" { "qc.tsv" } ". "
                    "What the numbers mean is in " a href="qc.json" style="color:#8fb8ff" { "qc.json" } ". "
                    "Marks are for people: no scan is dropped or changed by them. For research use only."
                }
                @for failure in failures {
                    article class="look" { h2 { (failure.scan) " failed" } p class="why" { (failure.error) } }
                }
                @for scan in order { (article(scan)) }
            }
        }
    };
    Ok(write_atomic(&folder.join("qc.html"), page.into_string().as_bytes())?)
}

fn needs_attention(scan: &Graded<'_>) -> bool {
    !scan.outlier_in.is_empty() || !scan.qc.warnings.is_empty()
}

fn article(scan: &Shown<'_>) -> Markup {
    let graded = scan.graded;
    html! {
        article class=[needs_attention(graded).then_some("look")] id=(graded.scan_id) {
            h2 { (graded.scan_id) }
            @if !graded.outlier_in.is_empty() {
                p class="why" { "stands out in " (graded.stands_out()) }
            }
            a href=(scan.picture) { img loading="lazy" src=(scan.picture) alt=(graded.scan_id); }
        }
    }
}
