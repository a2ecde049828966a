//! Application-defined streams that panic, misbehave or never end.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use aiows::extract::{Call, Frame};
use aiows::routing::Route;
use aiows::server::Listener;
use aiows::{App, DisconnectReason, Limits, Router, WebSocket};

use super::kit::wrapped;
use crate::log::{levels, log};
use crate::probe::Probe;
use crate::raw::{REQUEST, Raw, echo_server, ends, limits, masked};

const TIMEOUT: Duration = Duration::from_secs(5);

/// The operation in which a stream panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Read,
    Write,
    Flush,
    Shutdown,
    Drop,
}

struct Faulty {
    inner: DuplexStream,
    fault: Fault,
    armed: Arc<AtomicBool>,
}

impl Faulty {
    fn may_panic(&self, fault: Fault) {
        if self.fault == fault && self.armed.load(Ordering::Relaxed) {
            std::panic::resume_unwind(Box::new(Bomb));
        }
    }
}

/// A panic payload that panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("carried"));
    }
}

impl AsyncRead for Faulty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.may_panic(Fault::Read);
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.may_panic(Fault::Write);
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.may_panic(Fault::Flush);
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.may_panic(Fault::Shutdown);
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        if self.fault == Fault::Drop {
            std::panic::resume_unwind(Box::new("a stream"));
        }
    }
}

fn serve(app: &App, fault: Fault, armed: &Arc<AtomicBool>) -> Raw<DuplexStream> {
    let (client, inner) = tokio::io::duplex(64 * 1024);
    app.serve_stream(Faulty { inner, fault, armed: Arc::clone(armed) }, None);
    Raw::over(client)
}

#[tokio::test]
async fn a_stream_that_panics_ends_its_connection_orderly_and_releases_its_permit() {
    for fault in [Fault::Read, Fault::Write, Fault::Flush, Fault::Shutdown, Fault::Drop] {
        let (ends, ended) = ends();
        let app =
            wrapped(ends.server().limits(limits(|limits| limits.connections = 1))).build().unwrap();
        let serving = tokio::spawn(app.clone().serve(Vec::<Listener>::new()));
        // The stream of this connection panics during the handshake.
        let mut early = serve(&app, fault, &Arc::new(AtomicBool::new(true)));
        early.write_quietly(b"no request at all\r\n\r\n").await;
        early.read_to_end().await;
        let armed = Arc::default();
        let mut raw = serve(&app, fault, &armed);
        raw.handshake().await;
        armed.store(true, Ordering::Relaxed);
        raw.send_text("hello").await;
        if matches!(fault, Fault::Shutdown | Fault::Drop) {
            raw.expect_text("hello").await;
            raw.send_close(1000, "").await;
        }
        let reason = ended.next().await;
        assert!(matches!(reason, DisconnectReason::Peer { .. }), "{fault:?}: {reason}");
        raw.read_to_end().await;
        let again = async {
            loop {
                let mut raw = serve(&app, Fault::Read, &Arc::default());
                raw.write(REQUEST.as_bytes()).await;
                if raw.read_head().await.starts_with("HTTP/1.1 101 ") {
                    return raw;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        let raw =
            timeout(TIMEOUT, again).await.unwrap_or_else(|_| panic!("no free permit, {fault:?}"));
        assert_eq!(app.handle().hub().size(), 1, "{fault:?}");
        drop(raw);
        ended.next().await;
        drop(app.handle().shutdown(TIMEOUT));
        serving.await.unwrap().unwrap();
        drop((app, ends));
        ended.expect_no_more().await;
    }
}

/// Panics when it is written. Takes the connection's lock when it or its panic payload is dropped.
struct Probing {
    inner: DuplexStream,
    armed: Arc<AtomicBool>,
    carried: Option<Probe>,
    _held: Probe,
}

impl AsyncRead for Probing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Probing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.armed.load(Ordering::Relaxed)
            && let Some(probe) = self.carried.take()
        {
            std::panic::resume_unwind(Box::new(probe));
        }
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_stream_that_panics_and_its_panic_payload_are_dropped_outside_of_the_lock() {
    let (ends, ended) = ends();
    let ws = Arc::new(OnceLock::<WebSocket>::new());
    let known = Arc::clone(&ws);
    let connect = Route::connect(move |call: Call| {
        known.get_or_init(|| call.websocket().clone());
        async {}
    });
    let app = ends.watch(Router::new().route(connect)).build().unwrap();
    let (probed, mut free) = mpsc::channel(2);
    let probe = || {
        let ws = Arc::clone(&ws);
        Probe::new(probed.clone(), move || {
            let _ = ws.get().map(WebSocket::outbound);
        })
    };
    let (client, inner) = tokio::io::duplex(64 * 1024);
    let armed = Arc::<AtomicBool>::default();
    let stream =
        Probing { inner, armed: Arc::clone(&armed), carried: Some(probe()), _held: probe() };
    app.serve_stream(stream, None);
    let mut raw = Raw::over(client);
    raw.handshake().await;
    while ws.get().is_none() {
        yield_now().await;
    }
    armed.store(true, Ordering::Relaxed);
    ws.get().unwrap().send_text("never written").await.unwrap();
    assert!(matches!(ended.next().await, DisconnectReason::Peer { .. }));
    for dropped in 0..2 {
        let is_free = timeout(TIMEOUT, free.recv()).await.unwrap();
        assert_eq!(is_free, Some(true), "a lock was held, {dropped}");
    }
    let outbound = ws.get().unwrap().outbound();
    assert_eq!((outbound.queued, outbound.dropped, outbound.pending), (1, 1, 0));
}

/// Unusual results of a stream's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Odd {
    /// The write is interrupted this many times.
    Interrupted(usize),
    /// The stream reports more bytes written than it was given.
    TooMuch,
    /// The stream is pending once before every write.
    Hesitant,
}

/// A stream with unusual writes once it is armed.
struct Oddity {
    inner: DuplexStream,
    odd: Odd,
    armed: Arc<AtomicBool>,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Oddity {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Oddity {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if !self.armed.load(Ordering::Relaxed) {
            return Pin::new(&mut self.inner).poll_write(cx, bytes);
        }
        let before = self.writes.fetch_add(1, Ordering::Relaxed);
        match self.odd {
            Odd::Interrupted(times) if before < times => {
                Poll::Ready(Err(std::io::ErrorKind::Interrupted.into()))
            }
            Odd::Interrupted(_) => Pin::new(&mut self.inner).poll_write(cx, bytes),
            Odd::TooMuch => Poll::Ready(Ok(usize::MAX)),
            Odd::Hesitant if before.is_multiple_of(2) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Odd::Hesitant => Pin::new(&mut self.inner).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Opens a connection over such a stream, and counts its writes after the handshake.
async fn open_odd(app: &App, odd: Odd) -> (Raw<DuplexStream>, Arc<AtomicUsize>) {
    let (client, inner) = tokio::io::duplex(64 * 1024);
    let (armed, writes) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let stream = Oddity { inner, odd, armed: Arc::clone(&armed), writes: Arc::clone(&writes) };
    app.serve_stream(stream, None);
    let mut raw = Raw::over(client);
    raw.handshake().await;
    armed.store(true, Ordering::Relaxed);
    (raw, writes)
}

#[tokio::test]
async fn an_interrupted_write_is_retried_and_does_not_starve_other_connections() {
    const TIMES: usize = 20_000;
    let app = wrapped(echo_server()).build().unwrap();
    let serving = tokio::spawn(app.clone().serve(Vec::<Listener>::new()));
    let (mut raw, writes) = open_odd(&app, Odd::Interrupted(TIMES)).await;
    let (client, server) = tokio::io::duplex(1024);
    app.serve_stream(server, None);
    let mut bystander = Raw::over(client);
    bystander.handshake().await;
    raw.send_text("hello").await;
    bystander.send_text("still there?").await;
    bystander.expect_text("still there?").await;
    let meanwhile = writes.load(Ordering::Relaxed);
    assert!((1..100).contains(&meanwhile), "{meanwhile} writes");
    raw.expect_text("hello").await;
    assert_eq!(writes.load(Ordering::Relaxed), TIMES + 1);
    drop(app.handle().shutdown(TIMEOUT));
    raw.read_close(1001).await;
    drop((raw, bystander));
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_that_reports_too_many_written_bytes_ends_its_connection_orderly() {
    let (ends, ended) = ends();
    let app = wrapped(ends.server()).build().unwrap();
    let serving = tokio::spawn(app.clone().serve(Vec::<Listener>::new()));
    let (mut raw, _writes) = open_odd(&app, Odd::TooMuch).await;
    raw.send_text("hello").await;
    let reason = ended.next().await;
    assert!(matches!(reason, DisconnectReason::Peer { code: None, .. }), "{reason}");
    raw.expect_end().await;
    drop(app.handle().shutdown(TIMEOUT));
    serving.await.unwrap().unwrap();
    drop((app, ends));
    ended.expect_no_more().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_detected_over_a_stream_that_is_pending_before_every_write() {
    let (ends, ended) = ends();
    let app = wrapped(ends.server()).build().unwrap();
    let (_raw, writes) = open_odd(&app, Odd::Hesitant).await;
    let since = Instant::now();
    assert_eq!(ended.next_within(Duration::from_secs(600)).await, DisconnectReason::Timeout);
    let Limits { ping_interval, ping_timeout, .. } = Limits::default();
    assert_eq!(since.elapsed().as_secs(), (ping_interval + ping_timeout).as_secs());
    assert!(writes.load(Ordering::Relaxed) >= 2, "the ping was not written");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_but_steadily_stays_connected_without_sending_pongs() {
    let app = wrapped(echo_server()).build().unwrap();
    let (client, inner) = tokio::io::duplex(64);
    app.serve_stream(inner, None);
    let mut raw = Raw::over(client);
    raw.handshake().await;
    raw.send_text(&"x".repeat(15_000)).await;
    for _ in 0..300 {
        sleep(Duration::from_secs(1)).await;
        raw.read_exactly(50).await;
    }
    raw.read_exactly(4).await;
    raw.send_text("still there").await;
    let mut frame = raw.read_frame().await.unwrap();
    while frame.first == 0x89 {
        frame = raw.read_frame().await.unwrap();
    }
    assert_eq!(frame.text(), "still there");
}

fn ping_often(limits: &mut Limits) {
    limits.ping_interval = Duration::from_secs(10);
    limits.ping_timeout = Duration::from_secs(20);
}

/// The rate is too low to distinguish the client from a stream that buffers pings.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_a_byte_per_second_and_sends_no_pongs_is_silent() {
    let (ends, ended) = ends();
    let app = wrapped(ends.server().limits(limits(ping_often))).build().unwrap();
    let (client, inner) = tokio::io::duplex(64);
    app.serve_stream(inner, None);
    let mut raw = Raw::over(client);
    raw.handshake().await;
    raw.send_text(&"x".repeat(15_000)).await;
    let since = Instant::now();
    let read = async {
        loop {
            sleep(Duration::from_secs(1)).await;
            assert_eq!(raw.read_some(1).await, Some(1));
        }
    };
    tokio::select! {
        reason = ended.next_within(Duration::from_secs(100)) => {
            assert_eq!(reason, DisconnectReason::Timeout);
        }
        () = read => {}
    }
    assert_eq!(since.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_what_had_filled_its_stream_stays_connected_without_sending_pongs() {
    let app = wrapped(echo_server().limits(limits(ping_often))).build().unwrap();
    let (client, inner) = tokio::io::duplex(128);
    app.serve_stream(inner, None);
    let mut raw = Raw::over(client);
    raw.handshake().await;
    // The first half of the frame fills the stream. The second half is a sign of life.
    let (hub, text) = (app.handle().hub(), "x".repeat(2 * 128 - 4));
    for _ in 0..20 {
        hub.all().send_text(&text).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        raw.expect_text(&text).await;
        // The client reads the pings, but does not answer them.
        while let Ok(frame) = timeout(Duration::from_secs(4), raw.read_frame()).await {
            assert_eq!(frame.expect("the connection stays open").first, 0x89);
        }
    }
}

/// Has messages whenever it is read, as long as it is armed.
struct Talkative {
    inner: DuplexStream,
    armed: Arc<AtomicBool>,
    /// The position within a message.
    at: usize,
}

impl AsyncRead for Talkative {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if read.is_ready() || !self.armed.load(Ordering::Relaxed) {
            return read;
        }
        let message = masked(0x82, b"message");
        while buffer.remaining() > 0 {
            buffer.put_slice(&[message[self.at]]);
            self.at = (self.at + 1) % message.len();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Talkative {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The client receives a ping while the server does not read.
#[tokio::test(start_paused = true)]
async fn the_ping_timeout_starts_again_when_a_client_is_read_again() {
    /// Returns late for the first message.
    #[aiows::fallback]
    async fn discard(_: Frame, aiows::State(is_first): aiows::State<Arc<AtomicBool>>) {
        if is_first.swap(false, Ordering::Relaxed) {
            sleep(Duration::from_millis(240)).await;
        }
    }
    let milliseconds = Duration::from_millis;
    let router = Router::new().routes(aiows::routes![discard]);
    let router = router.state(Arc::new(AtomicBool::new(true)));
    let (ends, ended) = ends();
    let server = ends.watch(router).limits(limits(|limits| {
        limits.ping_interval = milliseconds(200);
        limits.ping_timeout = milliseconds(50);
        limits.inbound_messages = 1;
    }));
    let app = wrapped(server).build().unwrap();
    let (client, inner) = tokio::io::duplex(1 << 20);
    let armed = Arc::<AtomicBool>::default();
    app.serve_stream(Talkative { inner, armed: Arc::clone(&armed), at: 0 }, None);
    let mut raw = Raw::over(client);
    raw.handshake().await;
    let begun = Instant::now();
    armed.store(true, Ordering::Relaxed);
    raw.send(0x89, b"now").await;
    assert_eq!(raw.read_frame().await.unwrap().first, 0x8a);
    sleep(milliseconds(100)).await;
    armed.store(false, Ordering::Relaxed);
    assert_eq!(raw.read_frame().await.unwrap().first, 0x89);
    assert_eq!(begun.elapsed(), milliseconds(200));
    raw.expect_end().await;
    assert_eq!(begun.elapsed(), milliseconds(240 + 50));
    assert_eq!(ended.next().await, DisconnectReason::Timeout);
}

/// Sends control frames forever once it is armed.
struct Endless {
    inner: DuplexStream,
    pings: Vec<u8>,
    armed: Arc<AtomicBool>,
    reads: Arc<AtomicUsize>,
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if !self.armed.load(Ordering::Relaxed) {
            return Pin::new(&mut self.inner).poll_read(cx, buffer);
        }
        self.reads.fetch_add(1, Ordering::Relaxed);
        let whole = buffer.remaining() / 6 * 6;
        let pings = self.pings.get(..whole).unwrap_or(&self.pings);
        buffer.put_slice(pings);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.armed.load(Ordering::Relaxed) {
            true => Poll::Ready(Ok(bytes.len())),
            false => Pin::new(&mut self.inner).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Connects eight clients that send endless control frames, `frames` in each read. Expects that
/// the server reads at most `reads` times from all of them until it answers another client.
async fn expect_turns_between(first: u8, frames: usize, reads: usize) {
    let app = wrapped(echo_server()).build().unwrap();
    let serving = tokio::spawn(app.clone().serve(Vec::<Listener>::new()));
    let (counted, mut kept) = (Arc::new(AtomicUsize::new(0)), Vec::new());
    for _ in 0..8 {
        let (client, inner) = tokio::io::duplex(1024);
        let (armed, reads) = (Arc::<AtomicBool>::default(), Arc::clone(&counted));
        let pings = masked(first, b"").repeat(frames);
        app.serve_stream(Endless { inner, pings, armed: Arc::clone(&armed), reads }, None);
        let mut raw = Raw::over(client);
        raw.handshake().await;
        armed.store(true, Ordering::Relaxed);
        raw.send(0x89, b"").await;
        kept.push(raw);
    }
    let (client, server) = tokio::io::duplex(1024);
    app.serve_stream(server, None);
    let mut bystander = Raw::over(client);
    bystander.handshake().await;
    for _ in 0..10 {
        let before = counted.load(Ordering::Relaxed);
        bystander.send_text("still there?").await;
        bystander.expect_text("still there?").await;
        let meanwhile = counted.load(Ordering::Relaxed) - before;
        assert!(meanwhile <= reads, "{meanwhile} reads");
    }
    drop(app.handle().shutdown(Duration::ZERO));
    let _ = serving.await.unwrap();
}

#[tokio::test]
async fn clients_that_send_endless_control_frames_do_not_starve_other_connections() {
    for first in [0x89, 0x8a] {
        // At most one read, of 10,000 frames, from each of the eight clients.
        expect_turns_between(first, 20_000, 8).await;
    }
}

#[tokio::test]
async fn a_client_is_read_sixteen_times_before_other_connections_get_their_turn() {
    // The answer takes a few turns of each of the eight clients.
    expect_turns_between(0x8a, 1, 8 * 16 * 12).await;
}

/// Counts the turns of another task.
fn count_turns() -> Arc<AtomicUsize> {
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    tokio::spawn(std::future::poll_fn(move |cx| {
        counted.fetch_add(1, Ordering::Relaxed);
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    }));
    turns
}

/// Sends these bytes, and returns the turn of the other task in which each message was handled.
async fn turns_of_messages(bytes: &[u8], count: usize) -> Vec<usize> {
    let turns = count_turns();
    let report = Route::message("count", move |_: Call| {
        let turn = turns.load(Ordering::Relaxed);
        async move { serde_json::json!({ "turn": turn }) }
    });
    let server = aiows::Server::from(Router::new().route(report));
    let small = limits(|limits| limits.messages_per_turn = 4);
    let app = wrapped(server.limits(small)).build().unwrap();
    let (client, server) = tokio::io::duplex(64 * 1024);
    app.serve_stream(server, None);
    let mut raw = Raw::over(client);
    raw.handshake().await;
    raw.write(bytes).await;
    let mut seen = Vec::new();
    for _ in 0..count {
        seen.push(raw.read_json().await["turn"].as_u64().unwrap() as usize);
    }
    seen
}

#[tokio::test]
async fn a_burst_of_messages_leaves_turns_to_other_connections() {
    let message = masked(0x81, br#"{"type":"count"}"#);
    let seen = turns_of_messages(&message.repeat(18), 18).await;
    let batches: Vec<_> = seen.chunk_by(|one, next| one == next).map(<[_]>::len).collect();
    assert_eq!(batches, [4, 4, 4, 4, 2], "{seen:?}");
}

#[tokio::test]
async fn messages_behind_many_control_frames_leave_turns_to_other_connections() {
    // As many control frames as are handled in one turn.
    let pongs = masked(0x8a, b"").repeat(64);
    let message = masked(0x81, br#"{"type":"count"}"#);
    let seen = turns_of_messages(&[message, pongs].concat().repeat(10), 10).await;
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
}

#[tokio::test]
async fn a_stream_that_panics_is_logged_once() {
    for fault in [Fault::Read, Fault::Write, Fault::Flush, Fault::Shutdown] {
        let (lines, _guard) = log();
        let (ends, ended) = ends();
        let app = wrapped(ends.server()).build().unwrap();
        let armed = Arc::default();
        let mut raw = serve(&app, fault, &armed);
        raw.handshake().await;
        armed.store(true, Ordering::Relaxed);
        raw.send_text("hello").await;
        if fault == Fault::Shutdown {
            raw.expect_text("hello").await;
            raw.send_close(1000, "").await;
        }
        ended.next().await;
        raw.read_to_end().await;
        let text = "the stream of a connection panicked";
        assert_eq!(levels(&lines, text), [tracing::Level::ERROR], "{fault:?}");
    }
}
