//! What a header says about the contrast of a series.

use std::collections::BTreeSet;

use brainreel_formats::dicom::SeriesIndex;

/// Words in a series description or in ImageType that say that a series serves to plan others.
const LOCALIZERS: [&str; 5] = ["LOCALIZER", "LOCALISER", "SCOUT", "SURVEY", "CALIBRATION"];

/// Words in a series description or in ImageType that say that it is no T1-weighted head.
const OTHER_CONTRASTS: [&str; 12] =
    ["T2", "PD", "FLAIR", "DTI", "DWI", "ADC", "BOLD", "FMRI", "ASL", "SWI", "FIELDMAP", "PHASE"];

/// Values of ImageType that only diffusion images have.
const DIFFUSION: [&str; 5] = ["DIFFUSION", "TRACEW", "TRACE", "FA", "TENSOR"];

/// Values of ImageType of images that were computed from others and are no head as the scanner saw it.
const COMPUTED: [&str; 6] = ["PROJECTION", "MIP", "MNIP", "SUBTRACTION", "MOSAIC", "PERFUSION"];

/// Values of ImageType, behind the first two, of parts of a complex image that are not its magnitude.
const NOT_MAGNITUDE: [&str; 7] = ["P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY"];

/// Values of ImageType of slices that were cut anew out of other images.
const REFORMATTED: [&str; 3] = ["MPR", "REFORMATTED", "CPR"];

/// Slices at a greater angle than this are no volume: localizers have three planes.
const PLANES_DEGREES: f64 = 30.0;

/// T1-weighted protocols have echo times below 20 ms, T2-weighted ones above 60 ms.
const LONGEST_ECHO_MS: f64 = 30.0;

/// With an inversion pulse a longer echo may still be T1-weighted, but not one of this length: FLAIR.
const LONGEST_ECHO_WITH_INVERSION_MS: f64 = 80.0;

/// Why a series is no T1-weighted head.
pub(super) struct Objection {
    /// The rule, as the ledger names it.
    pub(super) rule: &'static str,
    /// In words, with what the header says.
    pub(super) reason: String,
}

/// Looks for a sign that a series is no T1-weighted head.
pub(super) fn find_objection(series: &SeriesIndex) -> Option<Objection> {
    let objection = |rule, reason| Some(Objection { rule, reason });
    let named = words(&format!("{} {}", series.description, series.image_type));
    if let Some(word) = LOCALIZERS.into_iter().find(|word| named.contains(*word)) {
        return objection("localizer", format!("the series calls itself {word}"));
    }
    if let Some(degrees) = series.largest_turn_degrees().filter(|&degrees| degrees > PLANES_DEGREES) {
        let n_slices = series.n_slices();
        let reason =
            format!("its {n_slices} slices lie in planes at up to {degrees:.0} degrees: a localizer");
        return objection("localizer", reason);
    }
    let mut behind = series.image_type.split('\\').skip(2).map(str::trim);
    if let Some(part) = behind.find(|value| NOT_MAGNITUDE.contains(value)) {
        return objection("not_magnitude", format!("ImageType says {part}: not the magnitude of the signal"));
    }
    if let Some(word) = OTHER_CONTRASTS.into_iter().find(|word| named.contains(*word)) {
        return objection("not_t1", format!("the series calls itself {word}"));
    }
    let kinds = words(&series.image_type);
    if let Some(word) = DIFFUSION.into_iter().find(|word| kinds.contains(*word)) {
        return objection("diffusion", format!("ImageType says {word}: a diffusion image, not T1-weighted"));
    }
    if let Some(word) = COMPUTED.into_iter().find(|word| kinds.contains(*word)) {
        return objection("computed", format!("ImageType says {word}: computed from other images"));
    }
    if let Some(word) =
        REFORMATTED.into_iter().find(|word| kinds.contains(*word) && kinds.contains("DERIVED"))
    {
        return objection(
            "reformatted",
            format!("ImageType says DERIVED and {word}: cut out of another series"),
        );
    }
    let sequence = words(&series.scanning_sequence);
    if sequence.contains("EP") {
        return objection("echo_planar", "ScanningSequence is EP: echo-planar, not T1-weighted".to_owned());
    }
    let has_inversion = series.sidecar.inversion_time.is_some() || sequence.contains("IR");
    objection("long_echo_time", long_echo(series.sidecar.echo_time? * 1000.0, has_inversion)?)
}

fn long_echo(echo_ms: f64, has_inversion: bool) -> Option<String> {
    let (limit, inversion) =
        if has_inversion { (LONGEST_ECHO_WITH_INVERSION_MS, "with") } else { (LONGEST_ECHO_MS, "without") };
    (echo_ms > limit).then(|| {
        format!(
            "EchoTime is {echo_ms:.1} ms {inversion} an inversion, expected at most {limit:.0} ms: not T1-weighted"
        )
    })
}

/// What the header says in favour of a T1-weighted head.
pub(super) fn describe_t1(series: &SeriesIndex) -> String {
    let sequence = words(&series.scanning_sequence);
    let sequence: Vec<&str> = sequence.iter().map(String::as_str).collect();
    let echo = series.sidecar.echo_time.map(|seconds| format!("EchoTime {:.2} ms", seconds * 1000.0));
    let known: Vec<String> = (!sequence.is_empty())
        .then(|| format!("ScanningSequence {}", sequence.join("+")))
        .into_iter()
        .chain(echo)
        .collect();
    let derived = if words(&series.image_type).contains("DERIVED") { "; ImageType says DERIVED" } else { "" };
    if known.is_empty() {
        return format!(
            "taken as T1-weighted: the header has neither ScanningSequence nor EchoTime{derived}"
        );
    }
    format!("T1-weighted as far as the header says ({}){derived}", known.join(", "))
}

fn words(text: &str) -> BTreeSet<String> {
    let capitals = text.to_ascii_uppercase();
    let words = capitals.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echo_times_of_t1_protocols_pass_and_those_of_t2_and_flair_do_not() {
        for (echo_ms, has_inversion) in [(2.98, true), (3.5, false), (20.0, false), (14.0, true)] {
            assert_eq!(long_echo(echo_ms, has_inversion), None, "{echo_ms} ms");
        }
        for (echo_ms, has_inversion) in [(90.0, false), (35.0, false), (120.0, true), (386.8, true)] {
            assert!(long_echo(echo_ms, has_inversion).is_some(), "{echo_ms} ms");
        }
    }

    #[test]
    fn words_are_whole_words() {
        let found = words(r"DERIVED\PRIMARY\MPR\ND_FA MPRAGE");
        assert!(found.contains("MPR") && found.contains("FA") && !found.contains("MPRAG"));
    }
}
