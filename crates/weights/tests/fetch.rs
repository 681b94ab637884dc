//! Fetching and importing, against a server on this machine.

#![expect(clippy::unwrap_used, reason = "a test's helper functions may panic like the test itself")]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use brainreel_checkpoint::{Role, TensorSpec};
use brainreel_weights::{
    Cache, Digest, FetchEvent, FetchOptions, Health, Origin, Published, WeightsError, fetch, import, verify,
};
use safetensors::tensor::{Dtype, TensorView};

/// A network with kernels, biases and a batch norm.
fn small_tensors() -> Vec<TensorSpec> {
    vec![
        TensorSpec::new("stem.weight", &[64, 3, 3, 7, 7], Role::Kernel),
        TensorSpec::new("norm.running_var", &[64], Role::RunningVar),
        TensorSpec::new("fc.weight", &[400, 64], Role::LinearWeight),
        TensorSpec::new("fc.bias", &[400], Role::LinearBias { fan_in: 64 }),
    ]
}

/// The same with another kernel.
fn flat_tensors() -> Vec<TensorSpec> {
    let mut tensors = small_tensors();
    tensors[0].shape[2] = 1;
    tensors
}

/// The small network with one value everywhere.
fn network_file(value: f32) -> Vec<u8> {
    file_of(&small_tensors(), value)
}

/// These tensors with one value everywhere, and a counter of a batch norm.
fn file_of(specs: &[TensorSpec], value: f32) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> =
        specs.iter().map(|spec| value.to_le_bytes().repeat(spec.n_elements())).collect();
    let counter = ("norm.num_batches_tracked", TensorView::new(Dtype::I64, vec![], &[0; 8]).unwrap());
    let views = specs.iter().zip(&bytes).map(|(spec, bytes)| {
        (spec.name.as_str(), TensorView::new(Dtype::F32, spec.shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views.chain([counter]), None::<HashMap<String, String>>).unwrap()
}

/// A server that gives the same answer to every request for the same path.
fn serve(answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().and_then(Result::ok).unwrap_or_default();
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            lines.map_while(Result::ok).find(String::is_empty);
            // A client that hangs up early is part of some tests.
            let _ = answer(&path, &mut stream);
        }
    });
    format!("http://{address}")
}

fn send(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n")?;
    stream.write_all(body)
}

fn send_file(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    send(stream, "200 OK", &format!("Content-Length: {}\r\n", body.len()), body)
}

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn model(url: String, digest: Digest) -> Published {
    Published {
        name: "testnet",
        title: "a test",
        file_name: "testnet.pt",
        url: leaked(url),
        licence: "MIT",
        citation: "nobody",
        digest,
        max_bytes: 20 << 20,
        network: "testnet",
        prefixes: &[],
        tensors: small_tensors,
    }
}

fn sha256(bytes: &[u8]) -> &'static str {
    leaked(brainreel_artifact::hash_bytes(bytes).to_string())
}

fn get(cache: &Cache, model: &Published) -> Result<bool, WeightsError> {
    fetch(cache, model, &FetchOptions::default(), |_| {}).map(|installed| installed.origin == Origin::Cache)
}

/// What is in a folder, hidden files too.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn the_published_file_is_fetched_once_recorded_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::in_folder(folder.path().join("deep/weights"));
    let file = network_file(0.5);
    let digest = Digest::Sha256(sha256(&file));
    let body = file.clone();
    let model = model(serve(move |_, stream| send_file(stream, &body)) + "/w.pt", digest);
    assert!(matches!(cache.find(&model), Err(WeightsError::Missing { .. })));
    let (mut heard, mut hosts) = (Vec::new(), Vec::new());
    let installed = fetch(&cache, &model, &FetchOptions::default(), |event| match event {
        FetchEvent::Received { n_bytes, total_bytes } => heard.push((n_bytes, total_bytes)),
        FetchEvent::Connecting { host, patience } => hosts.push(format!("{host} {}", patience.as_secs())),
        _ => unreachable!(),
    })
    .unwrap();
    assert_eq!(hosts, ["127.0.0.1 30"]);
    assert!(installed.origin == Origin::Network && installed.cached.record.published == Some(true));
    let length = file.len() as u64;
    assert_eq!(heard.first(), Some(&(0, Some(length))));
    assert_eq!(heard.last(), Some(&(length, Some(length))));
    assert_eq!(fs::read(&installed.cached.path).unwrap(), file);
    assert_eq!(names(cache.folder()), ["testnet.pt", "testnet.pt.json"]);
    let record = fs::read_to_string(cache.folder().join("testnet.pt.json")).unwrap();
    assert!(!record.contains(&folder.path().display().to_string()), "no path of this machine: {record}");
    assert_eq!(verify(&cache, &model).unwrap().1, 54_224);
    // There and whole: not even a server is needed, and being offline is no matter.
    let gone = Published { url: "https://weights.invalid/w.pt", ..model };
    let offline = FetchOptions { offline: true, ..FetchOptions::default() };
    assert!(fetch(&cache, &gone, &offline, |_| {}).unwrap().origin == Origin::Cache);
    // A damaged file is noticed and fetched again.
    let mut damaged = file.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&installed.cached.path, damaged).unwrap();
    assert_eq!(cache.health(&model).unwrap(), Health::Damaged);
    let error = verify(&cache, &model).unwrap_err().to_string();
    assert!(error.contains("testnet.pt") && error.contains("--replace"), "{error}");
    assert!(!get(&cache, &model).unwrap());
    assert_eq!(cache.health(&model).unwrap(), Health::Whole);
}

#[test]
fn offline_and_missing_say_how_to_get_them() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::in_folder(folder.path());
    let model = &model("https://weights.invalid/w.pt".to_owned(), Digest::Sha256("00"));
    let offline = FetchOptions { offline: true, ..FetchOptions::default() };
    let error = fetch(&cache, model, &offline, |_| {}).unwrap_err().to_string();
    assert!(error.contains("offline") && error.contains("weights import"), "{error}");
    let error = cache.find(model).unwrap_err().to_string();
    assert!(error.contains("weights fetch testnet") && error.contains("weights import"), "{error}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_bad_server_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::in_folder(folder.path());
    let file = network_file(0.25);
    let digest = Digest::Sha256(sha256(&file));
    let body = file.clone();
    let server = serve(move |path, stream| match path {
        "/cut" => send(stream, "200 OK", &format!("Content-Length: {}\r\n", body.len()), &body[..100_000]),
        "/other" => send_file(stream, &network_file(0.75)),
        "/missing" => send(stream, "404 Not Found", "Content-Length: 0\r\n", b""),
        "/broken" => send(stream, "500 Internal Server Error", "Content-Length: 0\r\n", b""),
        "/announced" => send(stream, "200 OK", "Content-Length: 99999999999\r\n", b"x"),
        "/endless" => {
            send(stream, "200 OK", "", b"")?;
            loop {
                stream.write_all(&[0; 1 << 16])?;
            }
        }
        "/away" => {
            send(stream, "302 Found", "Location: http://example.org/w.pt\r\nContent-Length: 0\r\n", b"")
        }
        "/file" => send(stream, "302 Found", "Location: file:///etc/passwd\r\nContent-Length: 0\r\n", b""),
        "/nowhere" => send(stream, "302 Found", "Content-Length: 0\r\n", b""),
        "/circle" => send(stream, "302 Found", "Location: /circle\r\nContent-Length: 0\r\n", b""),
        "/noise" => stream.write_all(b"SSH-2.0-something\r\n"),
        "/moved" => send(stream, "301 Moved Permanently", "Location: /w.pt\r\nContent-Length: 0\r\n", b""),
        "/w.pt" => send_file(stream, &body),
        _ => Ok(()),
    });
    for (path, words) in [
        ("/cut", ["/cut", "bytes"]),
        ("/other", ["expected", "not the published file"]),
        ("/missing", ["404", "import"]),
        ("/broken", ["500", "expected 200"]),
        ("/announced", ["more than", "20971520"]),
        ("/endless", ["more than", "20971520"]),
        ("/away", ["http://example.org/w.pt", "https://"]),
        ("/file", ["file:///etc/passwd", "https://"]),
        ("/nowhere", ["is not fetched", "https://"]),
        ("/circle", ["/circle", "5"]),
        ("/noise", ["cannot download", "/noise"]),
        ("/silent", ["cannot download", "/silent"]),
    ] {
        let error = get(&cache, &model(format!("{server}{path}"), digest)).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{path}: {error}");
        assert_eq!(names(folder.path()), [""; 0], "{path}");
    }
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = get(&cache, &model(format!("http://{refused}/w.pt"), digest)).unwrap_err();
    assert!(matches!(error, WeightsError::Network { .. }), "{error}");
    assert!(!get(&cache, &model(format!("{server}/moved"), digest)).unwrap());
}

#[test]
fn without_a_digest_the_first_file_is_trusted_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::in_folder(folder.path());
    let server =
        serve(|path, stream| send_file(stream, &network_file(if path == "/first" { 0.5 } else { 0.75 })));
    let first = model(format!("{server}/first"), Digest::FirstUse);
    let second = model(format!("{server}/second"), Digest::FirstUse);
    assert!(!get(&cache, &first).unwrap());
    assert_eq!(cache.record_of(&first).unwrap().published, None);
    assert!(get(&cache, &second).unwrap(), "there already");
    // The record outlives the file.
    fs::remove_file(cache.path_of(&first)).unwrap();
    let error = get(&cache, &second).unwrap_err();
    assert!(matches!(error, WeightsError::Changed { .. }), "{error}");
    assert!(error.to_string().contains("--replace"), "{error}");
    let replace = FetchOptions { replace: true, ..FetchOptions::default() };
    assert_eq!(fetch(&cache, &second, &replace, |_| {}).unwrap().origin, Origin::Network);
    assert_eq!(fs::read(cache.path_of(&second)).unwrap(), network_file(0.75));
}

#[test]
fn what_is_not_the_network_does_not_enter() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::in_folder(folder.path().join("cache"));
    let server = serve(|_, stream| send_file(stream, b"<html>please log in</html>"));
    let error = get(&cache, &model(server + "/w.pt", Digest::FirstUse)).unwrap_err();
    assert!(matches!(error, WeightsError::NotTheNetwork { .. }), "{error}");
    let any = model("https://weights.invalid/w.pt".to_owned(), Digest::FirstUse);
    let page = folder.path().join("page.pt");
    fs::write(&page, "<html>").unwrap();
    assert!(matches!(import(&cache, &[any], &page, false), Err(WeightsError::NotTheNetwork { .. })));
    assert!(matches!(
        import(&cache, &[any], &folder.path().join("none"), false),
        Err(WeightsError::Read { .. })
    ));
    assert_eq!(names(cache.folder()), [""; 0]);
}

#[test]
fn imported_files_are_recognised_and_not_replaced_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::in_folder(folder.path().join("cache"));
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    fs::write(&one, network_file(0.5)).unwrap();
    fs::write(&other, network_file(0.75)).unwrap();
    let candidates = [model("https://weights.invalid/w.pt".to_owned(), Digest::Sha256("00"))];
    let (model, installed) = import(&cache, &candidates, &one, false).unwrap();
    assert_eq!(model.name, "testnet");
    assert_eq!(installed.cached.record.published, Some(false), "the network, but not the published file");
    assert_eq!(installed.cached.record.source, "import");
    import(&cache, &candidates, &one, false).unwrap();
    let error = import(&cache, &candidates, &other, false).unwrap_err();
    assert!(matches!(error, WeightsError::Changed { .. }), "{error}");
    import(&cache, &candidates, &other, true).unwrap();
    assert_eq!(verify(&cache, model).unwrap().0.record.sha256, sha256(&network_file(0.75)));
}

#[test]
fn what_pytorch_has_is_taken_if_it_is_the_published_file() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::in_folder(folder.path().join("cache"));
    let hubs: [PathBuf; 3] = ["none", "wrong", "right"].map(|name| folder.path().join(name));
    let (right, wrong) = (network_file(0.5), network_file(0.75));
    for (hub, file) in [(&hubs[1], &wrong), (&hubs[2], &right)] {
        fs::create_dir_all(hub).unwrap();
        fs::write(hub.join("testnet.pt"), file).unwrap();
    }
    let prefix = &sha256(&right)[..8];
    let model = model("https://weights.invalid/w.pt".to_owned(), Digest::Prefix(prefix));
    // No network is needed for it, and none allowed.
    let options = FetchOptions { hub_folders: &hubs[..2], offline: true, ..FetchOptions::default() };
    let mut refused = Vec::new();
    let mut hear = |event: FetchEvent<'_>| match event {
        FetchEvent::RefusedHubFile { path, sha256 } => refused.push((path.to_owned(), sha256.to_owned())),
        _ => unreachable!("the network is not used"),
    };
    assert!(matches!(fetch(&cache, &model, &options, &mut hear), Err(WeightsError::Offline { .. })));
    assert_eq!(names(cache.folder()), [""; 0]);
    let options = FetchOptions { hub_folders: &hubs, ..options };
    let installed = fetch(&cache, &model, &options, &mut hear).unwrap();
    assert_eq!(installed.origin, Origin::TorchHub(hubs[2].join("testnet.pt")));
    assert_eq!(installed.cached.record.published, Some(true));
    assert_eq!(fs::read(&installed.cached.path).unwrap(), right);
    assert_eq!(refused, vec![(hubs[1].join("testnet.pt"), sha256(&wrong).to_owned()); 2]);
    // Without a published digest anything might be there.
    let unknown = Published { digest: Digest::FirstUse, file_name: "testnet.pt", ..model };
    let other = Cache::in_folder(folder.path().join("other"));
    assert!(matches!(fetch(&other, &unknown, &options, |_| {}), Err(WeightsError::Offline { .. })));
}

#[test]
fn networks_are_recognised_and_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::in_folder(folder.path().join("cache"));
    let file = folder.path().join("film.pth");
    let small = model("https://weights.invalid/w.pt".to_owned(), Digest::Prefix("b3b3"));
    let flat = Published { name: "flatnet", file_name: "flatnet.pt", tensors: flat_tensors, ..small };
    let candidates = [small, flat];
    let accepted = |bytes: Vec<u8>| {
        fs::write(&file, bytes).unwrap();
        import(&cache, &candidates, &file, true).map(|(model, _)| model.name)
    };
    assert_eq!(accepted(file_of(&small_tensors(), 0.5)).unwrap(), "testnet");
    assert_eq!(accepted(file_of(&flat_tensors(), 0.5)).unwrap(), "flatnet");
    let (cached, n_parameters) = verify(&cache, &flat).unwrap();
    assert_eq!(n_parameters, 64 * 3 * 49 + 64 * 400 + 400);
    assert_eq!(cached.record.published, Some(false), "the network, but not the published file");
    let refusal = |bytes| {
        let error = accepted(bytes).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(matches!(error, WeightsError::NotTheNetwork { .. }), "{error}");
        cause
    };
    let mut grey = small_tensors();
    grey[0].shape[1] = 1;
    let cause = refusal(file_of(&grey, 0.5));
    assert!(cause.contains("stem.weight") && cause.contains("[64, 3, 3, 7, 7]"), "{cause}");
    let cause = refusal(network_file(f32::NAN));
    assert!(cause.contains("NaN"), "{cause}");
    let cause = refusal(network_file(-1.0));
    assert!(cause.contains("running_var"), "{cause}");
}
