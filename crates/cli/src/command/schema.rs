//! `pointsman schema`: what a policy, or the plugin's whole configuration, may say; for editors (JSON Schema) or for people
//! (Markdown).

use pointsman::control::plugin;
use pointsman::policy;

use crate::failure::Failure;

/// Prints the JSON Schema of policies.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the reference of all fields as Markdown instead
    #[arg(long)]
    markdown: bool,
    /// Describe the plugin's configuration, of which a policy is one field
    #[arg(long)]
    plugin: bool,
}

/// Prints what was asked for.
pub fn run(args: &Args) -> Result<(), Failure> {
    match (args.plugin, args.markdown) {
        (false, false) => println!("{:#}", policy::schema_docs::schema()),
        (false, true) => print!("{}", policy::schema_docs::markdown()),
        (true, false) => println!("{:#}", plugin::schema_docs::schema()),
        (true, true) => print!("{}", plugin::schema_docs::markdown()),
    }
    Ok(())
}
