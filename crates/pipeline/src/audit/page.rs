//! The page of an audit: one HTML file without references to others.

use brainreel_audit::{Finding, Opinion};
use brainreel_cohort::PerPartition;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::AuditSummary;
use crate::notice;

/// The title of every page: only files that contain it are overwritten.
pub(super) const MARK: &str = "brainreel: audit of a split";

const STYLE: &str = "\
body{font:15px/1.45 system-ui,sans-serif;background:#fff;color:#1c2330;margin:2rem auto;max-width:60rem;padding:0 1rem}\
h1{font-size:1.4rem;margin:0 0 .2rem}h2{font-size:1.05rem;margin:1.6rem 0 .5rem}\
p.sub{color:#5a6475;margin:.1rem 0 1rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #e3e7ee;vertical-align:top}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
.badge{display:inline-block;padding:.05rem .5rem;border-radius:.6rem;font-size:.85rem;font-weight:600;white-space:nowrap}\
.bad{background:#fde3df;color:#9d2213}.odd{background:#fff1cf;color:#7a5200}.good{background:#dff3e4;color:#13602c}.calm{background:#e8ecf3;color:#3b4658}\
article{border:1px solid #e3e7ee;border-left:4px solid #c6cedb;border-radius:6px;padding:.6rem .9rem;margin:0 0 .8rem}\
article.bad{border-left-color:#d0432f;background:#fffafa;color:inherit}article.odd{border-left-color:#e0a11b;background:#fffdf7;color:inherit}\
article h3{font-size:1rem;margin:0 0 .3rem}ul{margin:.3rem 0 .3rem 1.2rem;padding:0}li{margin:.1rem 0}code{font-size:.9em}\
.remedy{color:#3b4658;margin:.3rem 0 0}";

/// Renders the page.
pub(super) fn render(report: &AuditSummary) -> String {
    let audited: Vec<String> = report.audited.iter().map(|path| path.display().to_string()).collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (MARK) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 {
                    "Audit of a split: "
                    @if report.passes { span class="badge good" { "passed" } }
                    @else { span class="badge bad" { "failed" } }
                }
                p class="sub" { (audited.join(", ")) ". " (notice::SENTENCE) }
                (sizes(report))
                (verdicts(report))
                (confounds(report))
                h2 { "Findings" }
                @if report.report.findings.is_empty() { p { "None." } }
                @for finding in &report.report.findings { (article(finding)) }
            }
        }
    };
    page.into_string()
}

fn sizes(report: &AuditSummary) -> Markup {
    let sizes = &report.report.sizes;
    let cells = |n: &PerPartition<usize>| html! { @for n in n.iter() { td class="n" { (n) } } };
    html! {
        table {
            tr { th {} th class="n" { "training" } th class="n" { "validation" } th class="n" { "test" } }
            tr { td { "subjects" } (cells(&sizes.n_subjects)) }
            tr { td { "scans" } (cells(&sizes.n_scans)) }
            @for (diagnosis, n) in &sizes.n_scans_by_diagnosis { tr { td { "scans, " (diagnosis) } (cells(n)) } }
        }
    }
}

fn verdicts(report: &AuditSummary) -> Markup {
    let class = |opinion| match opinion {
        Opinion::Clear => "badge bad",
        Opinion::Unclear => "badge odd",
        Opinion::NoneDetected => "badge good",
    };
    html! {
        h2 { "Leakage, in the categories of Wen et al. 2020" }
        table {
            @for verdict in &report.report.verdicts {
                tr {
                    td { (verdict.category.title()) }
                    td { span class=(class(verdict.opinion)) { (verdict.opinion) } }
                    td { (verdict.reason) }
                }
            }
        }
    }
}

fn confounds(report: &AuditSummary) -> Markup {
    html! {
        @if !report.report.confounds.is_empty() {
            h2 { "What goes together, a subject counted once" }
            table {
                @for confound in &report.report.confounds {
                    tr {
                        td { (confound.attribute.title()) " and " (confound.against.title()) }
                        td { (brainreel_audit::describe(&confound.association)) }
                    }
                }
            }
        }
    }
}

fn article(finding: &Finding) -> Markup {
    let class = match finding.level {
        level if level.fails() => "bad",
        brainreel_audit::Level::Warning => "odd",
        _ => "calm",
    };
    let n_more = finding.n_cases.saturating_sub(finding.examples.len());
    html! {
        article class=(class) {
            h3 { span class={ "badge " (class) } { (finding.level) } " " (finding.message) }
            @if !finding.examples.is_empty() {
                ul {
                    @for example in &finding.examples { li { code { (example) } } }
                    @if n_more > 0 { li { "and " (n_more) " more" } }
                }
            }
            @if !finding.remedy.is_empty() { p class="remedy" { (finding.remedy) } }
        }
    }
}
