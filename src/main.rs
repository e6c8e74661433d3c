//! Flags, settings, the application, the exit code.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use linegate::config::Config;
use linegate::{app, command};

/// Messages are freed by other threads than those that made them: charging takes a
/// quarter less CPU than with the system's (docs/decisions/2026-11-27-allocator.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The gateway between the systems that sell telecom lines and the network that carries them.
#[derive(Parser)]
#[command(name = "linegate", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// Settings that differ from config/default.toml.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves network elements, modems and order systems until it is told to stop.
    Serve,
    /// Tells the whole story, from an order to a settled month, on embedded stores and simulators.
    #[cfg(feature = "demo")]
    Demo {
        /// Keeps the gateway up afterwards, to look around, until Ctrl-C.
        #[arg(long)]
        stay: bool,
    },
    /// Closes a month: charges, invoices, settlement, documents.
    CloseMonth {
        /// The cycle, such as 2026-10.
        #[arg(long, value_name = "YYYY-MM")]
        cycle: String,
        /// Computes the totals and stores nothing.
        #[arg(long)]
        dry_run: bool,
        /// Closes before the cycle has ended.
        #[arg(long)]
        early: bool,
    },
    /// Moves an existing network in.
    ImportLines {
        /// CSV: line_id,customer_id,access,imsi,msisdn,device_id,apns,plan,state.
        file: PathBuf,
    },
    /// Takes charging files.
    ImportUsage {
        /// CSV: record_id,imsi,msisdn,apn,rating_group,start,end,octets_up,octets_down.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Shows how a line's usage of a bill came about: records, rules, postings, the bill's lines.
    Explain {
        /// The line.
        #[arg(long)]
        line: String,
        /// The cycle that bills it, such as 2026-10.
        #[arg(long, value_name = "YYYY-MM")]
        cycle: String,
    },
    /// Prints Diameter messages as a tree and says what is wrong with them: 0 good, 1 not, 2 unreadable.
    Decode {
        /// Hexadecimal text, or a file: binary, hexadecimal, a dump of xxd or hexdump -C; `-` reads standard input.
        #[arg(required = true, value_name = "FILE|HEX")]
        inputs: Vec<String>,
        /// A file that adds to the dictionary, as `diameter.dictionary` in the settings.
        #[arg(long, value_name = "FILE")]
        dictionary: Option<PathBuf>,
    },
    /// Reads the settings and says what is wrong with them.
    CheckConfig,
}

/// How long threads may take to end once everything is told to.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("linegate: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[cfg(feature = "demo")]
fn quieter(mut config: Config) -> Config {
    if config.log.filter == "info" {
        config.log.filter = "warn".to_owned();
    }
    config
}

fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Command::Decode { inputs, dictionary } = &args.command {
        return command::decode(inputs, dictionary.as_deref());
    }
    let config = Config::load(args.config.as_deref(), std::env::vars())?;
    if let Command::CheckConfig = args.command {
        app::check(&config)?;
        println!("settings are good");
        return Ok(ExitCode::SUCCESS);
    }
    #[cfg(feature = "demo")]
    let config = match args.command {
        // The story is the output; what the default would log stands beside it.
        Command::Demo { .. } => quieter(config),
        _ => config,
    };
    linegate::telemetry::start_logs(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        match args.command {
            Command::Serve => app::serve(config).await,
            #[cfg(feature = "demo")]
            Command::Demo { stay } => linegate::demo::tell(config, stay).await,
            Command::CloseMonth { cycle, dry_run, early } => command::close_month(config, &cycle, dry_run, early).await,
            Command::ImportLines { file } => command::import_lines(config, &file).await,
            Command::ImportUsage { files } => command::import_usage(config, &files).await,
            Command::Explain { line, cycle } => command::explain(config, &line, &cycle).await,
            Command::Decode { .. } | Command::CheckConfig => Ok(ExitCode::SUCCESS),
        }
    });
    // Whatever still blocks a thread must not keep the process.
    runtime.shutdown_timeout(SHUTDOWN_PATIENCE);
    ended
}
