//! Modules with `#[router]`: documented, conditional, nested, of every visibility, made by macros.
#![deny(
    missing_docs,
    unnameable_types,
    unreachable_pub,
    unused,
    unused_qualifications,
    warnings
)]

use aiows::{Router, router};

#[router]
pub mod public {
    //! Reachable from outside.

    use super::*;
    use aiows::{WebSocket, message};

    /// Says hello.
    #[message("hello")]
    pub async fn hello(ws: WebSocket) {
        drop(ws);
    }

    #[message("match")]
    async fn r#match() {}

    /// Has a list of its own.
    pub fn by_hand() -> Router {
        Router::new().routes(aiows::routes![hello])
    }

    #[router]
    pub(super) mod inner {
        #![allow(clippy::all)]

        #[super::message("inner")]
        pub(super) async fn say() {}
    }
}

#[router()]
pub(crate) mod within {
    #[cfg(any())]
    #[aiows::message("dropped")]
    async fn dropped(_: Missing) {}

    #[cfg(all())]
    #[cfg_attr(all(), aiows::fallback)]
    async fn kept() {}

    #[cfg(any())]
    fn router() {}
}

#[router]
mod nothing_is_kept {
    #[cfg(any())]
    #[aiows::connect]
    async fn dropped() {}
}

macro_rules! echo {
    ($krate:path, $vis:vis $name:ident($message_type:literal)) => {
        #[aiows::router(crate = $krate)]
        $vis mod $name {
            #[aiows::message($message_type, crate = $krate)]
            async fn $name() {}
        }
    };
}

pub(crate) mod framework {
    pub(crate) use aiows::*;
}

echo!(crate::framework, pub(crate) shout("shout"));
echo!(::aiows, echo("echo"));

fn main() {
    let routers: [fn() -> Router; 7] = [
        public::router,
        public::by_hand,
        public::inner::router,
        within::router,
        nothing_is_kept::router,
        shout::router,
        echo::router,
    ];
    let merged = routers.into_iter().fold(Router::new(), |all, router| all.include(router()));
    drop(merged);
}
