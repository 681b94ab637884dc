//! `brainreel weights`: published weights in the cache.

use std::path::PathBuf;

use brainreel_pipeline::catalogue::catalogue;
use brainreel_weights::{
    Cache, Cached, FetchEvent, FetchOptions, Origin, Published, fetch, import, torch_hub_folders, verify,
};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::finish::Finish;
use crate::ui::{Progress, Ui, table};

const EXAMPLES: &str = "\
Examples:
  brainreel weights list
  brainreel weights fetch synthstrip
  brainreel weights fetch kinetics400/r3d_18
  brainreel weights import Downloads/synthstrip.1.pt
  brainreel weights verify

Fetching needs the network, nothing else does; with --offline (or BRAINREEL_OFFLINE=1) nothing is fetched.
A file enters the cache only if it holds the network, and a fetched one only if it is the published file.
Weights that PyTorch has downloaded already (torch hub) are copied from there.
The cache is $BRAINREEL_CACHE_DIR, or brainreel's folder in the place your system has for caches.";

/// Fetch, import, list and verify published weights
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WeightsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    Fetch(FetchArgs),
    Import(ImportArgs),
    /// Show which weights are known and which are in the cache
    List,
    Verify(VerifyArgs),
}

/// Download weights from their authors into the cache
#[derive(Args)]
struct FetchArgs {
    /// Which weights; `brainreel weights list` shows the names
    name: String,
    /// Another address than the authors' (https only)
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Fetch again even if they are in the cache
    #[arg(long)]
    replace: bool,
}

/// Take a file of weights that you have into the cache
#[derive(Args)]
struct ImportArgs {
    /// The file: a checkpoint of PyTorch (.pt, .pth) or safetensors
    file: PathBuf,
    /// Which weights they are [default: found out from the file]
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Replace a different file in the cache
    #[arg(long)]
    replace: bool,
}

/// Check the weights in the cache: unchanged, and the right network
#[derive(Args)]
struct VerifyArgs {
    /// Which weights [default: all in the cache]
    name: Option<String>,
}

/// What `weights` reports of one model.
#[derive(Debug, Serialize)]
struct ModelReport {
    name: &'static str,
    title: &'static str,
    licence: &'static str,
    url: &'static str,
    /// The file, if it is in the cache.
    path: Option<PathBuf>,
    sha256: Option<String>,
    /// Whether it is the file that the authors published, as far as that is known.
    published: Option<bool>,
    n_bytes: Option<u64>,
    /// Numbers in the network, where the file was read.
    n_parameters: Option<usize>,
}

/// What `weights` reports.
#[derive(Debug, Serialize)]
struct WeightsReport {
    cache: PathBuf,
    models: Vec<ModelReport>,
}

impl ModelReport {
    fn new(model: &'static Published, cached: Option<&Cached>, n_parameters: Option<usize>) -> Self {
        Self {
            name: model.name,
            title: model.title,
            licence: model.licence,
            url: model.url,
            path: cached.map(|cached| cached.path.clone()),
            sha256: cached.map(|cached| cached.record.sha256.clone()),
            published: cached.and_then(|cached| cached.record.published),
            n_bytes: cached.map(|cached| cached.record.n_bytes),
            n_parameters,
        }
    }
}

/// Runs the subcommand; `offline` forbids the network.
pub(crate) fn execute(args: &WeightsArgs, offline: bool, ui: &Ui) -> anyhow::Result<Finish> {
    let cache = Cache::of_user()?;
    let models = match &args.action {
        Action::Fetch(args) => vec![run_fetch(&cache, args, offline, ui)?],
        Action::Import(args) => vec![run_import(&cache, args, ui)?],
        Action::List => run_list(&cache, ui),
        Action::Verify(args) => run_verify(&cache, args.name.as_deref(), ui)?,
    };
    ui.summary(&WeightsReport { cache: cache.folder().to_owned(), models })?;
    Ok(Finish::AllWell)
}

fn run_fetch(cache: &Cache, args: &FetchArgs, offline: bool, ui: &Ui) -> anyhow::Result<ModelReport> {
    let model = catalogue().find(&args.name)?;
    ui.note(format!("{:>12} {}", "weights", model.title));
    ui.note(format!("{:>12} {}", "licence", model.licence));
    ui.note(format!("{:>12} {}", "please cite", model.citation));
    let bar = ui.download_progress("fetch");
    let hub_folders = torch_hub_folders();
    let options =
        FetchOptions { url: args.url.as_deref(), offline, replace: args.replace, hub_folders: &hub_folders };
    let installed = fetch(cache, model, &options, |event| show(&event, &bar, ui));
    bar.finish();
    let installed = installed?;
    match &installed.origin {
        Origin::Cache => ui.note(format!("{:>12} already in the cache", "weights")),
        Origin::TorchHub(path) => {
            ui.note(format!("{:>12} copied from PyTorch's {}, SHA-256 right", "weights", path.display()));
        }
        _ => {}
    }
    describe(model, &installed.cached, ui);
    Ok(ModelReport::new(model, Some(&installed.cached), None))
}

fn show(event: &FetchEvent<'_>, bar: &Progress, ui: &Ui) {
    match event {
        FetchEvent::RefusedHubFile { path, sha256 } => ui.note(format!(
            "{:>12} PyTorch's {} is not the published file (SHA-256 {sha256:.12}..) and is not taken",
            "weights",
            path.display()
        )),
        FetchEvent::Connecting { host, patience } => {
            ui.note(format!(
                "{:>12} {host}, gives up after {} s without an answer",
                "connecting",
                patience.as_secs()
            ));
        }
        FetchEvent::Received { n_bytes, total_bytes } => bar.set_bytes(*n_bytes, *total_bytes),
        _ => {}
    }
}

fn run_import(cache: &Cache, args: &ImportArgs, ui: &Ui) -> anyhow::Result<ModelReport> {
    let candidates = match &args.name {
        Some(name) => std::slice::from_ref(catalogue().find(name)?),
        None => catalogue().entries(),
    };
    let (model, installed) = import(cache, candidates, &args.file, args.replace)?;
    ui.note(format!("{:>12} {}", "licence", model.licence));
    describe(model, &installed.cached, ui);
    Ok(ModelReport::new(model, Some(&installed.cached), None))
}

fn describe(model: &Published, cached: &Cached, ui: &Ui) {
    if cached.record.published == Some(false) {
        ui.warn(format!(
            "{} has the network of {} but is not the file that its authors published (SHA-256 {})",
            cached.path.display(),
            model.name,
            cached.record.sha256
        ));
    }
    ui.result(format!("{}", cached.path.display()));
}

fn run_list(cache: &Cache, ui: &Ui) -> Vec<ModelReport> {
    let rows: Vec<Vec<String>> = cache
        .list(catalogue())
        .map(|(model, cached)| {
            let state = cached.as_ref().map_or("not in the cache".to_owned(), state_of);
            let size = cached.map_or(String::new(), |cached| megabytes(cached.record.n_bytes));
            vec![model.name.to_owned(), state, size, model.title.to_owned()]
        })
        .collect();
    ui.note(format!("{:>12} {}", "cache", cache.folder().display()));
    ui.result(table(&["name", "state", "MB", "what"], &rows));
    cache.list(catalogue()).map(|(model, cached)| ModelReport::new(model, cached.as_ref(), None)).collect()
}

fn state_of(cached: &Cached) -> String {
    match cached.record.published {
        Some(true) => "the published file",
        Some(false) => "not the published file",
        None => "trusted on first use",
    }
    .to_owned()
}

fn megabytes(n_bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let megabytes = n_bytes as f64 / 1e6;
    format!("{megabytes:.1}")
}

fn run_verify(cache: &Cache, name: Option<&str>, ui: &Ui) -> anyhow::Result<Vec<ModelReport>> {
    let named = name.map(|name| catalogue().find(name)).transpose()?;
    let chosen: Vec<&'static Published> = match named {
        Some(model) => vec![model],
        None => catalogue().entries().iter().filter(|model| cache.path_of(model).is_file()).collect(),
    };
    if chosen.is_empty() {
        ui.note(format!("{:>12} no weights in {}", "verify", cache.folder().display()));
    }
    let mut reports = Vec::new();
    for model in chosen {
        let (cached, n_parameters) = verify(cache, model)?;
        ui.result(format!("{}: whole, {n_parameters} parameters, {}", model.name, state_of(&cached)));
        reports.push(ModelReport::new(model, Some(&cached), Some(n_parameters)));
    }
    Ok(reports)
}
