//! `linegate demo`: tells the main story on real sockets, then checks what
//! elements, modems and recipients received against what REST reports.

mod check;
mod rest;
mod story;
mod world;

use std::process::ExitCode;

use crate::config::Config;

/// Tells the story; exit code 0 when everything agrees, 1 when something broke.
pub async fn tell(config: Config, stay: bool) -> anyhow::Result<ExitCode> {
    let told = match story::tell(config).await {
        Ok(told) => told,
        Err(error) => {
            println!("\ndemo: broke: {error:#}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let faults = check::compare(&told).await;
    let code = match &faults {
        Ok(found) if found.is_empty() => ExitCode::SUCCESS,
        Ok(found) => {
            for fault in found {
                println!("  does not agree: {fault}");
            }
            println!("demo: broke: {} of the checks failed", found.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("demo: broke: {error:#}");
            ExitCode::FAILURE
        }
    };
    if stay {
        println!("\nREST, metrics and health: http://{}   (Ctrl-C ends)", told.world.gateway.http);
        tokio::signal::ctrl_c().await?;
    }
    let summary = told.summary.clone();
    told.world.end().await?;
    if faults.is_ok_and(|f| f.is_empty()) {
        println!("demo: ok {summary}");
    }
    Ok(code)
}
