"""Reads the logs of brainreel's crate `trackers` with the official tools.

    python reference/trackers.py
    python reference/trackers.py --golden

    pip install wandb==0.31.0 tensorboard==2.21.0 numpy

Runs the example `tracked_run` (three epochs, killed in the second, resumed); reads its event file with
TensorBoard's `EventAccumulator` and uploads its offline run by `wandb sync` to a stand-in for W&B's server
on this machine (`wandb_server.py`), beside a run of the same numbers by W&B's own client. Prints what was
checked; exit code 1 on a miss. No account is needed, and nothing leaves this machine.

`--golden` writes the golden files of the crate's tests; W&B's own reader and writer of record logs in
Python went after 0.28, so that needs `wandb==0.28.2`. With that version the check uses its reader too, and
leaves out what 0.28 did not know: the axis of all metrics at once, and the kind of an artifact's digest.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto import wandb_internal_pb2
from wandb_server import Server

try:
    from wandb.sdk.internal.datastore import DataStore
except ImportError:
    DataStore = None

ROOT = pathlib.Path(__file__).resolve().parent.parent
N_STEPS, N_PER_EPOCH = 12, 4
RUN_ID = "4cb6b0ef0d1c"
TIMES = {"_runtime", "_timestamp"}
misses = []


def check(what, got, expected):
    print(f"{'ok  ' if got == expected else 'MISS'}  {what}" + ("" if got == expected else f": {got}, not {expected}"))
    if got != expected:
        misses.append(what)


def train_loss(step):
    return 0.7 / step


def validation_loss(epoch):
    return 0.6 - 0.1 * epoch


def expected_rows():
    """The rows of metrics, without times."""
    rows = []
    for step in range(1, N_STEPS + 1):
        rows.append({"step": step, "train/loss": train_loss(step), "train/learning_rate": 1e-4})
        if step % N_PER_EPOCH == 0:
            epoch = step // N_PER_EPOCH
            rows.append({"step": step, "epoch": epoch, "validation/loss": validation_loss(epoch)})
    return rows


def check_tensorboard(run_dir):
    events = EventAccumulator(str(run_dir / "tensorboard"))
    events.Reload()
    scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    f32 = lambda value: float(np.float32(value))
    steps, epochs = range(1, N_STEPS + 1), range(1, N_STEPS // N_PER_EPOCH + 1)
    expected = {
        "train/loss": [(s, f32(train_loss(s))) for s in steps],
        "train/learning_rate": [(s, f32(1e-4)) for s in steps],
        "epoch": [(N_PER_EPOCH * e, float(e)) for e in epochs],
        "validation/loss": [(N_PER_EPOCH * e, f32(validation_loss(e))) for e in epochs],
    }
    check("TensorBoard reads every scalar", scalars, expected)
    times = [e.wall_time for e in events.Scalars("train/loss")]
    check("TensorBoard: times never go back", times, sorted(times))
    text = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    check("TensorBoard shows the settings", json.loads(text)["architecture"], "r3d_18")


def check_records(path):
    """Reads the record log with W&B's reader, where the installed version has one."""
    if DataStore is None:
        print("--    this wandb has no reader of record logs in Python; `wandb sync` below reads it")
        return
    store, kinds, rows = DataStore(), [], []
    store.open_for_scan(str(path))
    while (data := store.scan_data()) is not None:
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        check_unknown(record)
        kinds.append(record.WhichOneof("record_type"))
        if kinds[-1] == "history":
            rows.append({item.key: json.loads(item.value_json) for item in record.history.item})
    check("W&B's reader: rows", without_times(rows), expected_rows())
    start, end = ["header", "run", "environment", "metric", "metric"], ["artifact"] * 2 + ["summary", "exit"]
    check("W&B's reader: records", kinds, start + ["history", "summary"] * len(rows) + end)


def check_unknown(record):
    """A field that W&B does not know would be kept as bytes."""
    if record.HasField("artifact"):
        return
    size = record.ByteSize()
    record.DiscardUnknownFields()
    if record.ByteSize() != size:
        check("W&B's reader: no unknown fields", record, None)


def without_times(rows):
    return [{k: v for k, v in row.items() if k not in TIMES | {"_step"}} for row in rows]


def sync(folder):
    """Uploads an offline run to a server of our own and returns the server."""
    with Server() as server, tempfile.TemporaryDirectory() as home:
        places = {"HOME": home, "WANDB_CACHE_DIR": home, "WANDB_CONFIG_DIR": home, "WANDB_DATA_DIR": home}
        environment = os.environ | places | {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": "0" * 40}
        command = [sys.executable, "-m", "wandb", "sync", str(folder)]
        done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=120)
        server.output = done.stdout + done.stderr
    check(f"`wandb sync` of {folder.name} ends well", (done.returncode, "ERROR" in server.output), (0, False))
    return server


def check_sync(server):
    rows = [server.history[number] for number in sorted(server.history)]
    check("`wandb sync` sends every row", without_times(rows), expected_rows())
    check("rows are counted", [row["_step"] for row in rows], list(range(len(rows))))
    check("time never goes back", [row["_runtime"] for row in rows], sorted(row["_runtime"] for row in rows))
    run, config = server.runs[0], json.loads(server.runs[-1]["config"])
    names = (run["name"], run["project"], run["displayName"], run["groupName"], run["jobType"], run["tags"])
    check("the run has its names", names, (RUN_ID, "brainreel", "made-up", "folds", "train", ["trial"]))
    settings = {key: item["value"] for key, item in config.items() if key not in ("_wandb", "tool")}
    expected = {"architecture": "r3d_18", "learning_rate": 1e-4, "augmentation": {"pool": 4}}
    check("the run has its settings", settings, expected)
    check("the run has ended", server.ends, [0])
    aliases = [[alias["alias"] for alias in artifact["aliases"]] for artifact in server.artifacts]
    check("both best models are artifacts", sorted(aliases), [["best_accuracy"], ["best_loss"]])
    models = sorted(body.decode() for path, body in server.stored.items() if path.startswith("artifact/"))
    check("both best models are uploaded", models, ["model of epoch 2", "model of epoch 3"])
    check("both artifacts are committed", server.operations.count("CommitArtifact"), 2)


def check_beside_client(server, scratch):
    """The same numbers by W&B's own client make the same requests."""
    program = f"""
import wandb
run = wandb.init(project="brainreel", name="made-up", group="folds", job_type="train", tags=["trial"], id="{RUN_ID}",
                 config={{"architecture": "r3d_18"}}, dir={str(scratch)!r}, mode="offline")
run.define_metric("step")
run.define_metric("*", step_metric="step")
for row in {expected_rows()!r}:
    run.log(row)
for epoch, alias in ((2, "best_accuracy"), (3, "best_loss")):
    with open({str(scratch / "model.safetensors")!r}, "w") as file:
        file.write(f"model of epoch {{epoch}}")
    artifact = wandb.Artifact("model-{RUN_ID}", type="model")
    artifact.add_file({str(scratch / "model.safetensors")!r})
    run.log_artifact(artifact, aliases=[alias])
run.finish()
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    official = sync(next((scratch / "wandb").glob("offline-run-*")))
    check("the client's own run makes the same requests", set(server.operations), set(official.operations))
    rows = lambda server: without_times([server.history[number] for number in sorted(server.history)])
    check("the client's own run has the same rows", rows(server), rows(official))
    metrics = lambda server: json.loads(server.runs[-1]["config"])["_wandb"]["value"]["m"]
    if DataStore is None:
        check("metrics have the same axis", metrics(server), metrics(official))
    digests = lambda server: sorted(artifact["digest"] for artifact in server.artifacts)
    check("artifacts have the same digests", digests(server), digests(official))
    stored = {"run/wandb-metadata.json", "run/wandb-summary.json", "run/config.yaml"}
    check("the same files are made", stored - set(server.stored) | stored - set(official.stored), set())


def check_privacy(run_dir, server):
    """Neither the machine nor the user is named in the logs, nor in what is sent but for W&B's manifest."""
    words = [word for word in (socket.gethostname(), os.environ.get("USER")) if word and len(word) > 3]
    words += [str(pathlib.Path.home()) + "/", "python"]
    logs = [p.read_bytes() for p in run_dir.rglob("*") if p.is_file() and p.suffix != ".wandb"]
    sent = [body for path, body in server.stored.items() if not path.startswith("manifest/")]
    found = {word for word in words for content in logs + sent if word.encode() in content}
    check("nothing tells of the machine or the user", found, set())


def golden():
    from golden import save
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    as_array = lambda path: np.frombuffer(path.read_bytes(), dtype=np.uint8).astype(np.int32)
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / "events"
        with open(path, "wb") as file:
            writer = RecordWriter(file)
            value = summary_pb2.Summary.Value
            values = [value(tag="train/loss", simple_value=0.25), value(tag="epoch", simple_value=3)]
            writer.write(event_pb2.Event(wall_time=1.5, file_version="brain.Event:2").SerializeToString())
            summary = summary_pb2.Summary(value=values)
            writer.write(event_pb2.Event(wall_time=2.25, step=300, summary=summary).SerializeToString())
        save("trackers", "event_file", {"bytes": as_array(path)}, generator=__file__, tools=["tensorboard"])
        path = pathlib.Path(scratch) / "run.wandb"
        store = DataStore()
        store.open_for_write(str(path))
        for record in golden_records():
            store._write_data(record.SerializeToString())
        store.close()
        save("trackers", "record_log", {"bytes": as_array(path)}, generator=__file__, tools=["wandb"])


def golden_records():
    """A record of each kind that we write; the settings cross the end of a block."""
    pb = wandb_internal_pb2
    yield pb.Record(num=1, header=pb.HeaderRecord(version_info=pb.VersionInfo(producer="a", min_consumer="0.70.0")))
    run = pb.RunRecord(run_id="abc", entity="e", project="p", run_group="g", job_type="train", display_name="d")
    run.tags.extend(["t", "u"])
    run.config.update.add(key="text", value_json=json.dumps("x" * 33_000))
    run.start_time.FromNanoseconds(1_500_000_001)
    record = pb.Record(num=2, run=run)
    record.control.mailbox_slot = "slot"
    record._info.stream_id = "abc"
    yield record
    environment = pb.EnvironmentRecord(os="linux", program="brainreel", writer_id="w")
    environment.started_at.FromNanoseconds(1_500_000_001)
    yield pb.Record(num=3, environment=environment)
    options = pb.MetricOptions(step_sync=True, defined=True)
    yield pb.Record(num=4, metric=pb.MetricRecord(name="n", glob_name="*", step_metric="step", options=options))
    history = pb.HistoryRecord(step=pb.HistoryStep(num=7))
    history.item.add(key="loss", value_json="0.5")
    yield pb.Record(num=5, history=history)
    summary = pb.SummaryRecord()
    summary.update.add(nested_key=["_wandb", "runtime"], value_json="3")
    yield pb.Record(num=6, summary=summary)
    artifact = pb.ArtifactRecord(
        run_id="abc", project="p", entity="e", type="model", name="m", digest="d", metadata="{}", finalize=True,
        client_id="c", sequence_client_id="s",
    )
    artifact.aliases.append("best_loss")
    artifact.manifest.version = 1
    artifact.manifest.storage_policy = "policy"
    artifact.manifest.storage_policy_config.add(key="storageLayout", value_json='"V2"')
    artifact.manifest.contents.add(path="model", digest="d", size=11, local_path="l")
    yield pb.Record(num=7, artifact=artifact)
    yield pb.Record(num=8, exit=pb.RunExitRecord(exit_code=3, runtime=4))


def main():
    if "--golden" in sys.argv:
        return golden()
    with tempfile.TemporaryDirectory() as scratch:
        run_dir, beside = pathlib.Path(scratch) / "run", pathlib.Path(scratch) / "beside"
        beside.mkdir()
        cargo = ["cargo", "run", "--release", "-q", "-p", "brainreel-trackers", "--example", "tracked_run", "--"]
        subprocess.run([*cargo, str(run_dir)], cwd=ROOT, check=True)
        offline_run = next((run_dir / "wandb").glob("offline-run-*"))
        lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
        check("metrics.jsonl has every row", len(lines), len(expected_rows()))
        check_tensorboard(run_dir)
        check_records(offline_run / f"run-{RUN_ID}.wandb")
        server = sync(offline_run)
        check_sync(server)
        check_privacy(run_dir, server)
        check_beside_client(server, beside)
    print(f"{len(misses)} misses")
    sys.exit(bool(misses))


main()
