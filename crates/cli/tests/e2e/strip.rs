//! Brain masks and the weights they need.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use brainreel_formats::nifti;
use brainreel_synthstrip::synthstrip_convs;
use brainreel_volume::{Affine, Grid, Volume};
use safetensors::tensor::{Dtype, TensorView};

use crate::kit::Dir;

/// A network of zeros but for the last bias: everywhere `distance_mm` from the surface.
pub(crate) fn network_file(distance_mm: f32) -> Vec<u8> {
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = synthstrip_convs()
        .into_iter()
        .flat_map(|conv| {
            let shapes = [
                vec![conv.shape.channels_out, conv.shape.channels_in, 3, 3, 3],
                vec![conv.shape.channels_out],
            ];
            shapes.map(|shape| {
                let part = if shape.len() == 1 { "bias" } else { "weight" };
                let name = format!("{}.conv.{part}", conv.name);
                let value = if name == "remaining.2.conv.bias" { distance_mm } else { 0.0 };
                (name, shape.clone(), value.to_le_bytes().repeat(shape.iter().product()))
            })
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, None::<HashMap<String, String>>).unwrap()
}

/// A lopsided head in thick voxels with axes to the left, posterior and superior.
fn write_head(dir: &Dir, name: &str) {
    let affine = [[-8.0, 0.0, 0.0, 90.0], [0.0, -8.0, 0.0, 100.0], [0.0, 0.0, 9.0, -80.0], [0.0; 4]];
    let grid = Grid::new([22, 24, 19], Affine::new(affine).unwrap()).unwrap();
    let head = Volume::from_fn(grid, |[i, j, k]| {
        let [x, y, z] = [i as f32 / 10.5 - 1.0, j as f32 / 12.0 - 1.1, k as f32 / 9.0 - 0.95];
        200.0 * f32::from(u8::from(x * x + y * y + z * z < 0.8)) + 5.0 * x + 10.0 * z + 20.0
    });
    std::fs::create_dir_all(dir.path(name).parent().unwrap()).unwrap();
    nifti::write(&dir.path(name), &head).unwrap();
}

fn in_cache(dir: &Dir, args: &str) -> (i32, String, String) {
    let mut command = dir.command(args);
    let output = command.env("BRAINREEL_CACHE_DIR", dir.path("cache")).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_missing_network_is_named_with_both_ways_to_get_it() {
    let dir = Dir::new();
    write_head(&dir, "head.nii.gz");
    let (code, _, said) = in_cache(&dir, "strip head.nii.gz --mask mask.nii.gz");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("weights fetch synthstrip") && said.contains("weights import"), "{said}");
    assert!(!dir.path("mask.nii.gz").exists());
    for offline in ["weights fetch synthstrip --offline", "--offline weights fetch synthstrip"] {
        let (code, _, said) = in_cache(&dir, offline);
        assert!(code == 1 && said.contains("offline") && said.contains("MIT or CC BY 4.0"), "{said}");
    }
    let mut command = dir.command("weights fetch synthstrip");
    let output = command.env("BRAINREEL_OFFLINE", "1").env("BRAINREEL_CACHE_DIR", dir.path("cache")).output();
    assert!(String::from_utf8_lossy(&output.unwrap().stderr).contains("offline"));
    assert!(!dir.path("cache").exists());
}

#[test]
fn imported_weights_are_listed_verified_and_used() {
    let dir = Dir::new();
    write_head(&dir, "head.nii.gz");
    dir.write("w.safetensors", &network_file(-2.0));
    dir.write("page.pt", b"<html>");
    let (code, _, said) = in_cache(&dir, "weights import page.pt");
    assert!(code == 1 && said.contains("page.pt"), "{said}");
    let (code, _, said) = in_cache(&dir, "weights import w.safetensors --json report.json");
    assert!(code == 0 && said.contains("not the file that its authors published"), "{said}");
    assert_eq!(dir.json("report.json")["models"][0]["published"], false);
    let (_, listed, _) = in_cache(&dir, "weights list");
    assert!(listed.contains("synthstrip") && listed.contains("not the published file"), "{listed}");
    let (code, verified, _) = in_cache(&dir, "weights verify");
    assert!(code == 0 && verified.contains("2566561 parameters"), "{verified}");
    let all = "strip head.nii.gz --mask m.nii.gz --brain b.nii.gz --distance d.nii.gz --json strip.json";
    let (code, _, said) = in_cache(&dir, all);
    assert_eq!(code, 0, "{said}");
    let [head, mask, brain, distance] = ["head.nii.gz", "m.nii.gz", "b.nii.gz", "d.nii.gz"]
        .map(|name| nifti::read_f32(&dir.path(name)).unwrap());
    // The network says -2 mm everywhere that it sees.
    assert!(mask.grid() == head.grid() && mask.as_slice().iter().all(|value| (*value - 1.0).abs() < 1e-9));
    assert_eq!(brain, head);
    assert!(distance.as_slice().iter().all(|value| (value + 2.0).abs() < 1e-4));
    let report = dir.json("strip.json");
    let expected_ml = 22.0 * 24.0 * 19.0 * 8.0 * 8.0 * 9.0 / 1000.0;
    assert!((report["scans"][0]["volume_ml"].as_f64().unwrap() - expected_ml).abs() < 0.01);
    assert!(report["extractor"].as_str().unwrap().starts_with("synthstrip "), "{report}");
    // A border further inside than anything: no brain.
    let (code, _, said) = in_cache(&dir, "strip head.nii.gz --mask n.nii.gz --border -5");
    assert!(code == 1 && said.contains("head.nii.gz") && said.contains("no voxel"), "{said}");
    // Changed behind our back.
    let path = dir.path("cache/weights/synthstrip.1.pt");
    std::fs::write(&path, network_file(-3.0)).unwrap();
    let (code, _, said) = in_cache(&dir, "strip head.nii.gz --mask o.nii.gz");
    assert!(code == 1 && said.contains("changed or damaged"), "{said}");
    assert_eq!(in_cache(&dir, "weights verify").0, 1);
}

#[test]
fn several_heads_go_to_a_folder_and_failures_are_counted() {
    let dir = Dir::new();
    write_head(&dir, "a.nii.gz");
    write_head(&dir, "in/b.nii.gz");
    dir.write("broken.nii.gz", b"no image");
    dir.write("w.safetensors", &network_file(0.5));
    let ran = dir
        .run("strip a.nii.gz in/b.nii.gz broken.nii.gz --out-dir out --with-brain --weights w.safetensors");
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("broken.nii.gz"), "{}", ran.stderr);
    for name in ["a_mask", "a_brain", "b_mask", "b_brain"] {
        assert!(dir.path(&format!("out/{name}.nii.gz")).is_file(), "{name}");
    }
    let again = "strip a.nii.gz --out-dir out --weights w.safetensors";
    dir.fails(again, &["a_mask.nii.gz exists", "--overwrite"]);
    dir.ok(&format!("{again} --overwrite"));
}

#[test]
fn the_classical_extractor_keeps_the_grid_of_the_head() {
    let dir = Dir::new();
    write_head(&dir, "head.nii.gz");
    dir.ok("strip head.nii.gz --mask mask.nii.gz --extractor bet");
    let [head, mask] = ["head.nii.gz", "mask.nii.gz"].map(|name| nifti::read_f32(&dir.path(name)).unwrap());
    assert_eq!(head.grid(), mask.grid());
    let (mut n, mut bright) = (0, 0);
    for (value, inside) in head.as_slice().iter().zip(mask.as_slice()) {
        n += usize::from(*inside > 0.5);
        bright += usize::from(*inside > 0.5 && *value > 150.0);
    }
    assert!(n > 500 && bright * 10 > n * 8, "{bright} of {n} voxels of the mask are bright");
    dir.fails(
        "strip head.nii.gz --mask m2.nii.gz --extractor bet --distance d.nii.gz",
        &["extractor", "bet", "synthstrip", "distance"],
    );
}

#[test]
fn wrong_usage_is_refused_before_the_work() {
    let dir = Dir::new();
    write_head(&dir, "a.nii.gz");
    write_head(&dir, "b.nii.gz");
    assert_eq!(dir.run("strip a.nii.gz").code, 2, "nowhere to write to");
    assert_eq!(dir.run("strip a.nii.gz --mask m.nii.gz --out-dir out").code, 2);
    assert_eq!(dir.run("weights").code, 2);
    dir.fails("strip a.nii.gz b.nii.gz --mask m.nii.gz", &["--out-dir"]);
    dir.fails("strip a.nii.gz --mask a.nii.gz --overwrite", &["a.nii.gz is an input"]);
    dir.fails("strip a.nii.gz --mask m.nii.gz --brain m.nii.gz", &["twice"]);
    dir.fails("strip a.nii.gz --mask m.txt", &["m.txt", ".nii.gz"]);
    dir.fails("strip a.nii.gz --mask m.nii.gz --weights a.nii.gz", &["a.nii.gz"]);
    dir.fails("weights fetch betternet", &["betternet", "synthstrip"]);
    let help = dir.ok("strip --help").stdout;
    assert!(help.contains("--border") && help.contains("[default: 1]"), "{help}");
}

#[test]
fn a_fetched_file_that_is_not_the_published_one_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        lines.map_while(Result::ok).find(String::is_empty);
        let body = network_file(1.0);
        write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len())
            .unwrap();
        stream.write_all(&body).unwrap();
    });
    let dir = Dir::new();
    let (code, _, said) = in_cache(&dir, &format!("weights fetch synthstrip --url http://{address}/w.pt"));
    assert!(code == 1 && said.contains("37417f802196") && said.contains("not the published file"), "{said}");
    assert!(!dir.path("cache/weights/synthstrip.1.pt").exists());
    let (code, _, said) = in_cache(&dir, "weights fetch synthstrip --url http://example.org/w.pt");
    assert!(code == 1 && said.contains("https://"), "{said}");
}
