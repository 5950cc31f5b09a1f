//! `pointsman schema`: what a policy may say, for editors (JSON Schema) or for people (Markdown).

use pointsman::policy::publish;

use crate::failure::Failure;

/// Prints the JSON Schema of policies.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the reference of all fields as Markdown instead
    #[arg(long)]
    markdown: bool,
}

/// Prints what was asked for.
pub fn run(args: &Args) -> Result<(), Failure> {
    if args.markdown {
        print!("{}", publish::markdown());
    } else {
        println!("{:#}", publish::schema());
    }
    Ok(())
}
