use aiows::extract::{Call, Extraction, FromCall};
use aiows::{message, routes};
use std::rc::Rc;

struct Count(Rc<u8>);

impl FromCall for Count {
    fn from_call(_: &Call) -> Extraction<Self> {
        Extraction::ready(Ok(Self(Rc::new(0))))
    }
}

#[message("chat")]
async fn say(count: Count, _: Call) {
    drop(count.0);
}

fn main() {
    let _ = routes![say];
}
