//! A trained network for torchvision, and published weights by name.

use std::fs;

use crate::kit::Dir;

const EXPERIMENT: &str = "
out = \"out\"
[input]
simulate = { n_subjects = 8, n_visits = 1, seed = 5, spacing_mm = 6.0, truth_images = false }
[preprocess]
brain_extractor = \"bet\"
size_voxels = 32
spacing_mm = 6.0
[split]
train = 0.5
validation = 0.25
test = 0.25
[train]
max_epochs = 1
architecture = \"mc3_18\"
";

#[test]
fn a_run_is_exported_and_nothing_else_is_replaced() {
    let dir = Dir::new();
    dir.write("experiment.toml", EXPERIMENT.as_bytes());
    dir.ok("run experiment.toml");
    let ran = dir.ok("export out/run --out deep/model.safetensors --json summary.json");
    assert!(
        ran.stdout.contains("mc3_18(num_classes=2)") && ran.stdout.contains("strict=True"),
        "{}",
        ran.stdout
    );
    let (record, summary) = (dir.json("deep/model.json"), dir.json("summary.json"));
    assert_eq!(record["input"]["shape"], serde_json::json!([1, 1, 32, 32, 32]));
    assert_eq!((&record["classes"][1], &record["n_parameters"]), (&"AD".into(), &11_472_450.into()));
    assert_eq!(record["sha256"], summary["sha256"]);
    assert!(dir.read("deep/model.py").contains("load_file(\"model.safetensors\")"));
    assert!(ran.stdout.contains("load_file(\"deep/model.safetensors\")"), "{}", ran.stdout);
    assert!(record["preprocess_parameters"].is_string(), "{record}");
    assert!(!record.to_string().contains("sub-"), "nobody is named: {record}");
    let bytes = fs::read(dir.path("deep/model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("stem.0.weight").unwrap().shape(), [64, 1, 3, 7, 7]);
    assert_eq!(file.tensor("fc.weight").unwrap().shape(), [2, 512]);
    assert!(file.names().iter().all(|name| !name.starts_with("optimizer")));

    // Training starts from it too.
    dir.ok(
        "train out/derivatives --split out/split.tsv --out again --weights deep/model.safetensors --epochs 1",
    );
    assert_eq!(dir.json("again/inputs.json")["weights_sha256"], record["sha256"]);

    // An earlier export gives way, and is the same again; other files stay.
    dir.ok("export out/run --out deep/model.safetensors");
    assert_eq!(fs::read(dir.path("deep/model.safetensors")).unwrap(), bytes);
    dir.write("mine.safetensors", b"mine");
    dir.fails("export out/run --out mine.safetensors", &["mine.safetensors exists", "--replace"]);
    assert_eq!(dir.read("mine.safetensors"), "mine");
    assert!(!dir.path("mine.json").exists());
    dir.ok("export out/run --out mine.safetensors --replace --checkpoint last");
    let inside = "export out/run --out out/run/checkpoints/last.safetensors --replace";
    dir.fails(inside, &["inside the input"]);
    dir.fails("export out/run --out model.pth", &["model.pth", ".safetensors"]);
    dir.fails("export out --out model.safetensors", &["out is not a run folder"]);
    let inputs = dir.read("out/run/inputs.json");
    dir.fails("export out/run --out out/run/inputs.safetensors --replace", &["inputs.json exists"]);
    assert_eq!(dir.read("out/run/inputs.json"), inputs);
    dir.fails(
        "export nowhere --out model.safetensors",
        &["nowhere does not exist", "a run folder, as the stage `train`"],
    );
}

#[test]
fn weights_are_named_and_fetched_from_pytorchs_cache_only_if_right() {
    let dir = Dir::new();
    let run = |args: &str| {
        let mut command = dir.command(args);
        command.env("BRAINREEL_CACHE_DIR", dir.path("cache")).env("TORCH_HOME", dir.path("torch"));
        command.env("XDG_CACHE_HOME", dir.path("xdg")).env("HOME", dir.path("home"));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    dir.write("torch/hub/checkpoints/r3d_18-b3b3357e.pth", b"broken off");
    let (code, said) = run("weights fetch kinetics400/r3d_18 --offline");
    assert_eq!(code, Some(1));
    for words in ["BSD-3-Clause", "arXiv:1711.11248", "is not the published file", "offline"] {
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
    dir.write("experiment.toml", format!("{EXPERIMENT}weights = \"kinetics400/mc3_18\"\n").as_bytes());
    let (code, said) = run("run experiment.toml");
    assert_eq!(code, Some(1));
    assert!(said.contains("brainreel weights fetch kinetics400/mc3_18"), "{said}");
    assert!(!dir.path("out").exists(), "said before the first stage");
    let (code, said) = run("train derivatives --split split.tsv --out run --weights kinetics400/mvit_v2_s");
    assert_eq!(code, Some(1));
    assert!(said.contains("brainreel weights fetch kinetics400/mvit_v2_s"), "{said}");
}
