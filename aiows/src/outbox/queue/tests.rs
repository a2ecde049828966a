//! The memory that a queue keeps.

use std::io;
use std::task::Poll;

use super::Queue;
use crate::limits::Class;

/// The bytes of a header in these tests.
const HEADER: usize = 4;

/// Queues a frame of this length; all of its bytes are `fill`.
fn push(queue: &mut Queue, fill: u8, length: usize, class: Class) {
    queue.push_copy(&vec![fill; length], length - HEADER, class);
}

/// Writes this many bytes, and returns them.
fn write(queue: &mut Queue, bytes: usize) -> Vec<u8> {
    let mut written = Vec::new();
    let (result, _) = queue.write(|slices| {
        let before = written.len();
        if before == bytes {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for slice in slices {
            let taken = slice.len().min(bytes - written.len());
            written.extend_from_slice(&slice[..taken]);
        }
        Ok(written.len() - before)
    });
    assert!(matches!(result, Poll::Pending | Poll::Ready(Ok(()))), "{result:?}");
    written
}

#[test]
fn at_most_half_of_the_entries_and_64_more_are_gaps() {
    let mut queue = Queue::default();
    push(&mut queue, b'a', 6, Class::Kept);
    (0..200).for_each(|_| push(&mut queue, b'b', 6, Class::Server));
    push(&mut queue, b'c', 6, Class::Kept);
    for left in (69..202).rev() {
        assert!(queue.drop_oldest(Class::Server));
        assert_eq!((queue.messages(), queue.entries.len()), (left, 202));
    }
    assert!(queue.drop_oldest(Class::Server));
    assert_eq!((queue.messages(), queue.entries.len()), (68, 68));
    assert_eq!(
        write(&mut queue, 68 * 6),
        [[b'a'; 6].as_slice(), &[b'b'; 66 * 6], &[b'c'; 6]].concat()
    );
}

#[test]
fn at_most_half_of_the_copied_bytes_and_64_kib_more_are_gaps() {
    let mut queue = Queue::default();
    push(&mut queue, b'0', 3000, Class::Kept);
    push(&mut queue, b'a', 2048, Class::Kept);
    (0..31).for_each(|_| push(&mut queue, b'b', 4096, Class::Server));
    push(&mut queue, b'c', 2048, Class::Kept);
    write(&mut queue, 3000);
    let run = |queue: &Queue| queue.copied.len() - queue.copied_start;
    for _ in 0..24 {
        assert_eq!(run(&queue), 32 * 4096);
        assert!(queue.drop_oldest(Class::Server));
    }
    // 8 of 32 parts are left, and 64 KiB are 16 parts.
    assert_eq!((run(&queue), queue.entries.len()), (32 * 4096, 33));
    assert!(queue.drop_oldest(Class::Server));
    assert_eq!((run(&queue), queue.entries.len()), (7 * 4096, 8));
    let expected = [vec![b'a'; 2048], vec![b'b'; 6 * 4096], vec![b'c'; 2048]].concat();
    assert!(write(&mut queue, 7 * 4096) == expected);
    assert_eq!((queue.copied.len(), queue.messages()), (0, 0));
}

#[test]
fn written_bytes_are_kept_up_to_4_kib_or_half_of_the_copied_ones() {
    for (lengths, kept) in [
        ([5000, 5000], 5000), // half
        ([5001, 4999], 0),
        ([4096, 3000], 4096), // 4 KiB
        ([4097, 3000], 0),
    ] {
        let mut queue = Queue::default();
        for length in lengths {
            push(&mut queue, b'a', length, Class::Server);
        }
        write(&mut queue, lengths[0]);
        assert_eq!(queue.copied_start, kept, "{lengths:?}");
        assert_eq!(queue.copied.len() - kept, lengths[1], "{lengths:?}");
        write(&mut queue, lengths[1]);
        assert_eq!((queue.copied.capacity(), queue.copied_start), (0, 0), "{lengths:?}");
    }
}

#[test]
fn an_empty_queue_keeps_room_for_sixteen_entries() {
    for (count, is_kept) in [(16, true), (17, false)] {
        let mut queue = Queue::default();
        (0..count).for_each(|_| push(&mut queue, b'a', 6, Class::Server));
        queue.entries.shrink_to_fit();
        write(&mut queue, count * 6);
        let kept = if is_kept { count } else { 0 };
        assert_eq!(queue.entries.capacity(), kept, "{count}");
    }
}
