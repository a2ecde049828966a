"""Compares how long `cargo check` takes for a module with attributes and without; see README.md."""

import argparse
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COUNT = 200
IMPORTS = {
    "attributes": "use aiows::{Message, Router, WebSocket, message, routes};",
    "routes": "use aiows::{Message, Result, Router, WebSocket, extract::Call, routing::Route};",
}
STRUCT = """
#[derive({derives}Deserialize, Serialize)]
pub struct Message{n} {{
    text: String,
    number: u32,
}}
"""
ATTRIBUTE = """
#[message("message{n}")]
async fn handler{n}(ws: WebSocket, mut message: Message{n}) -> Message{n} {{
    message.text = ws.id().to_string();
    message
}}
"""
IMPLEMENTATION = """
impl Message for Message{n} {{
    const TYPE: &'static str = "message{n}";
}}

fn handler{n}() -> Route {{
    let route = Route::message("message{n}", async |call: Call| -> Result<Message{n}> {{
        let ws: WebSocket = call.extract().await?;
        let mut message: Message{n} = call.payload()?;
        message.text = ws.id().to_string();
        Ok(message)
    }});
    route.receiving::<Message{n}>()
}}
"""
MANIFEST = """[package]
name = "check-time-{kind}"
version = "0.0.0"
edition = "2024"

[dependencies]
aiows = {{ path = "{root}/aiows" }}
serde = {{ version = "1", features = ["derive"] }}

[workspace]
"""


def module(kind):
    derives, handler = {"attributes": ("Message, ", ATTRIBUTE), "routes": ("", IMPLEMENTATION)}[kind]
    parts = [IMPORTS[kind], "use serde::{Deserialize, Serialize};\n"]
    for n in range(COUNT):
        parts += [STRUCT.format(n=n, derives=derives), handler.format(n=n)]
    names = [f"handler{n}" if kind == "attributes" else f"handler{n}()" for n in range(COUNT)]
    listed = ", ".join(names)
    routes = f"routes![{listed}]" if kind == "attributes" else f"[{listed}].into_iter().collect()"
    parts.append(f"\npub fn router() -> Router {{\n    Router::new().routes({routes})\n}}\n")
    return "\n".join(parts)


def package(folder, kind):
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "Cargo.toml").write_text(MANIFEST.format(kind=kind, root=ROOT))
    shutil.copy(ROOT / "Cargo.lock", folder / "Cargo.lock")
    (folder / "src/lib.rs").write_text(module(kind))
    return folder


def check(folder):
    """Checks a touched module; returns seconds on the clock and of the processor."""
    os.utime(folder / "src/lib.rs")
    started = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(["cargo", "check", "--offline", "--quiet"], cwd=folder, check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    return time.monotonic() - started, used


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--at-most", type=float, help="fail above this ratio of the medians")
    options = parser.parse_args()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
    os.environ["CARGO_TARGET_DIR"] = str(target)
    folders = {kind: package(target / "check_time" / kind, kind) for kind in IMPORTS}
    for folder in folders.values():
        check(folder)
    # The runs alternate, so that other load on the machine affects both.
    runs = [{kind: check(folder) for kind, folder in folders.items()} for _ in range(options.runs)]
    for index, what in enumerate(["clock", "processor"]):
        medians = {kind: statistics.median(run[kind][index] for run in runs) for kind in IMPORTS}
        ratio = medians["attributes"] / medians["routes"]
        both = ", ".join(f"{kind} {seconds:.2f} s" for kind, seconds in medians.items())
        print(f"{what}: {both}, ratio {ratio:.2f}")
    if options.at_most and ratio > options.at_most:
        raise SystemExit(f"the ratio is above {options.at_most}")


if __name__ == "__main__":
    main()
