//! Checks a message beyond the syntax of its attributes.

use syn::{Attribute, Data, DeriveInput, Fields, ext::IdentExt};

use super::{Derive, attr::Attr, fields::Field, serde::Container};
use crate::{errors::Errors, type_name};

/// The keys of the envelope, which a payload must not use.
const ENVELOPE: [&str; 3] = ["type", "id", "correlation_id"];

pub(super) fn check(
    derive: Derive,
    input: &DeriveInput,
    attr: &Attr,
    container: &Container,
    fields: &[Field<'_>],
    errors: &mut Errors,
) {
    check_generics(derive, input, errors);
    if derive == Derive::WireNames {
        return;
    }
    check_shape(input, errors);
    check_default_type(input, attr, errors);
    check_validator(input, errors);
    check_keys(container, fields, errors);
    attr.delivery.check(input, errors);
}

fn check_generics(derive: Derive, input: &DeriveInput, errors: &mut Errors) {
    let text = match derive {
        Derive::Message => "a message must own its data and must not be generic",
        Derive::WireNames => {
            "`#[derive(WireNames)]` can only be applied to a struct without type parameters"
        }
    };
    if !input.generics.params.is_empty() {
        errors.push(&input.generics, text);
    }
}

/// Rejects tuple structs, which serde writes as a list. One field is accepted, because serde writes
/// it in place of the struct.
fn check_shape(input: &DeriveInput, errors: &mut Errors) {
    if let Data::Struct(data) = &input.data
        && let Fields::Unnamed(fields) = &data.fields
        && fields.unnamed.len() != 1
    {
        errors.push(fields, "a message is an object on the wire, so its fields need names");
    }
}

fn check_default_type(input: &DeriveInput, attr: &Attr, errors: &mut Errors) {
    let name = type_name::of_struct(&input.ident);
    if attr.declared.is_none() && errors.is_empty() && type_name::is_reserved(&name) {
        let text = format!(
            "message type `{name}` is reserved for the protocol, \
             declare another with `#[aiows(type = \"..\")]`"
        );
        errors.push(&input.ident, text);
    }
}

fn check_validator(input: &DeriveInput, errors: &mut Errors) {
    if cfg!(feature = "validator") {
        return;
    }
    if let Some(attr) = validate_attr(input) {
        errors.push(attr, "`#[validate]` requires the feature `validator` of `aiows`");
    }
}

/// Returns the first `#[validate]` on the struct or on one of its fields.
pub(super) fn validate_attr(input: &DeriveInput) -> Option<&Attribute> {
    let fields = match &input.data {
        Data::Struct(data) => Some(&data.fields),
        Data::Enum(_) | Data::Union(_) => None,
    };
    let fields = fields.into_iter().flatten().flat_map(|field| &field.attrs);
    input.attrs.iter().chain(fields).find(|attr| attr.path().is_ident("validate"))
}

fn check_keys(container: &Container, fields: &[Field<'_>], errors: &mut Errors) {
    for Field { ident, keys, .. } in fields {
        let Some(key) = keys.iter().find(|key| ENVELOPE.contains(&key.as_str())) else {
            continue;
        };
        let ident = ident.unraw();
        let wire = if ident == key {
            String::new()
        } else {
            format!("is called `{key}` on the wire and ")
        };
        let text = format!(
            "field `{ident}` {wire}collides with the envelope's `{key}`, \
             choose another name with `#[serde(rename = \"..\")]`"
        );
        errors.push(ident, text);
    }
    if let Some(tag) = &container.tag
        && ENVELOPE.contains(&tag.value().as_str())
    {
        let text =
            format!("the serde tag collides with the envelope's `{}`, choose another", tag.value());
        errors.push(tag, text);
    }
}
