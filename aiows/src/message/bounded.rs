//! The type [`BoundedVec`]: a list with a bound that is checked while the list is read.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The most items that the list reserves memory for before it has read one.
const MAX_AHEAD: usize = 64;

/// A list of at most `N` items, for the fields of messages.
///
/// A longer list is refused while it is read, with the code `too_many` for the field: item `N + 1`
/// is not kept, and no rule of the message is checked. A `length` rule on a `Vec` is checked later,
/// when the whole list is in memory.
///
/// ```
/// use aiows::testing::TestServer;
/// use aiows::messages::BoundedVec;
/// use aiows::{Message, Router, message, routes};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Message, Deserialize, Serialize)]
/// struct Invite {
///     guests: BoundedVec<String, 2>,
/// }
///
/// #[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
/// struct Invited {
///     first: Option<String>,
/// }
///
/// #[message("invite")]
/// async fn invite(invite: Invite) -> Invited {
///     Invited { first: invite.guests.first().cloned() }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let server = TestServer::new(Router::new().routes(routes![invite]));
/// let mut client = server.connect().await;
/// client.send_text(r#"{"type": "invite", "guests": ["ann", "bob"]}"#).await;
/// assert_eq!(client.recv::<Invited>().await.first.as_deref(), Some("ann"));
/// client.send_text(r#"{"type": "invite", "guests": ["ann", "bob", "eve"]}"#).await;
/// let error = client.recv_json().await;
/// assert_eq!((&error["code"], &error["fields"][0]["path"]), (&"invalid_payload".into(), &"guests".into()));
/// assert_eq!(error["fields"][0]["code"], "too_many");
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct BoundedVec<T, const N: usize> {
    items: Vec<T>,
}

impl<T, const N: usize> BoundedVec<T, N> {
    /// Makes an empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: Vec::new() }
    }

    /// Returns the items.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.items
    }
}

impl<T, const N: usize> Default for BoundedVec<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> Deref for BoundedVec<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

/// Fails if there are more than `N` items, and returns them as the error.
impl<T, const N: usize> TryFrom<Vec<T>> for BoundedVec<T, N> {
    type Error = Vec<T>;

    fn try_from(items: Vec<T>) -> Result<Self, Vec<T>> {
        match items.len() <= N {
            true => Ok(Self { items }),
            false => Err(items),
        }
    }
}

impl<T, const N: usize> From<BoundedVec<T, N>> for Vec<T> {
    fn from(list: BoundedVec<T, N>) -> Self {
        list.items
    }
}

impl<T, const N: usize> IntoIterator for BoundedVec<T, N> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'a, T, const N: usize> IntoIterator for &'a BoundedVec<T, N> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for BoundedVec<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T, const N: usize>(PhantomData<fn() -> T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for ListVisitor<T, N> {
    type Value = BoundedVec<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {N} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let ahead = seq.size_hint().unwrap_or(0).min(N).min(MAX_AHEAD);
        let mut items = Vec::with_capacity(ahead);
        while items.len() < N {
            match seq.next_element()? {
                Some(item) => items.push(item),
                None => return Ok(BoundedVec { items }),
            }
        }
        match seq.next_element::<IgnoredAny>()? {
            None => Ok(BoundedVec { items }),
            // `codec::explain` recognizes this text.
            Some(_) => Err(A::Error::custom(format_args!("too many items, at most {N}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type List = BoundedVec<u8, 2>;

    #[test]
    fn a_list_ends_at_its_bound() {
        let read = |json: &str| serde_json::from_str::<List>(json);
        for (json, items) in [("[]", &[][..]), ("[1]", &[1]), ("[1,2]", &[1, 2])] {
            assert_eq!(&*read(json).unwrap(), items);
            assert_eq!(serde_json::to_string(&read(json).unwrap()).unwrap(), json);
        }
        for json in ["[1,2,3]", "[1,2,300]", "[1,2,3,4]"] {
            let error = read(json).unwrap_err().to_string();
            assert!(error.starts_with("too many items, at most 2"), "{error}");
        }
        assert!(read("7").unwrap_err().to_string().starts_with("invalid type: "));
    }

    #[test]
    fn a_list_is_converted_from_a_vec_and_back() {
        let list = List::try_from(vec![1, 2]).unwrap();
        assert_eq!((&list).into_iter().sum::<u8>(), 3);
        assert_eq!(Vec::from(list.clone()), list.into_vec());
        assert_eq!(List::try_from(vec![1, 2, 3]), Err(vec![1, 2, 3]));
        assert!(List::default().is_empty());
    }
}
