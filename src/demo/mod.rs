//! `linegate demo`: tells the main story on real sockets, then checks what
//! elements, modems and recipients received against what REST reports.

mod check;
mod rest;
mod story;
mod world;

use std::process::ExitCode;

use self::world::World;
use crate::config::Config;

/// Tells the story; exit code 0 when everything agrees, 1 when something broke.
pub async fn tell(config: Config, stay: bool) -> anyhow::Result<ExitCode> {
    println!("linegate demo: from an order to a settled month, on real sockets\n");
    let (world, told) = story::tell(World::start(config).await?).await;
    let result = match &told {
        Ok(told) => check::compare(&world, told).await,
        Err(error) => Ok(vec![format!("{error:#}")]),
    };
    let faults = result.unwrap_or_else(|error| vec![format!("{error:#}")]);
    for fault in &faults {
        println!("  does not agree: {fault}");
    }
    if stay {
        println!("\nREST, metrics and health: http://{}   (Ctrl-C ends)", world.gateway.http);
        tokio::signal::ctrl_c().await?;
    }
    world.end().await?;
    match told {
        Ok(told) if faults.is_empty() => {
            println!("demo: ok {}", told.summary);
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            println!("demo: broke: {} faults", faults.len());
            Ok(ExitCode::FAILURE)
        }
    }
}
