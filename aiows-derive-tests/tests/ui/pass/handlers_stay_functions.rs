//! A handler that is called as a plain function, before and in addition to its entry in a list.
#![deny(warnings)]

use std::future::Future;

use aiows::{Message, Result, message, routes};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Message, Serialize)]
#[aiows(type = "sum.request")]
struct Sum(Terms);

#[derive(Deserialize, Serialize)]
struct Terms {
    left: u8,
    right: u8,
}

#[derive(Message, Serialize)]
struct Total {
    value: u8,
}

#[message("sum.request")]
async fn sum(Sum(Terms { left, right }): Sum) -> Result<Option<Total>> {
    Ok(left.checked_add(right).map(|value| Total { value }))
}

fn total(left: u8, right: u8) -> impl Future<Output = Result<Option<Total>>> {
    sum(Sum(Terms { left, right }))
}

fn main() {
    assert_eq!((Sum::TYPE, Total::TYPE), ("sum.request", "total"));
    drop((total(1, 2), routes![sum]));

    #[message("inner")]
    async fn inner() {}
    drop(routes![inner]);
}
