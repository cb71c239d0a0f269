//! `plumb schema`: the JSON Schema editors complete and check with.

use plumb_core::{profile, scenario};

use crate::args::{Schema, SchemaOf};
use crate::exit::Exit;
use crate::output;

pub(crate) fn schema(schema: &Schema) -> anyhow::Result<Exit> {
    output::say(&match schema.of {
        SchemaOf::Scenario => scenario::schema(),
        SchemaOf::Profile => profile::schema(),
    });
    Ok(Exit::Pass)
}
