//! `status --watch`: the terminal output, refreshed, in a screen of its own.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::style::Stylize;
use ratatui::text::{Line, Text};
use ratatui::widgets::{Paragraph, Wrap};

use super::observer::Observer;
use super::terminal;
use super::view::Status;
use crate::output;

/// How soon a key has an effect.
const KEYS_EVERY: Duration = Duration::from_millis(100);

/// Refreshes until `q`, Esc or Ctrl-C. Where there is no terminal, prints each snapshot after the other.
pub(super) async fn watch(mut observer: Observer, every: Duration) -> Result<()> {
    if !std::io::stdout().is_terminal() {
        loop {
            terminal::print(&observer.observe().await)?;
            output::line("")?;
            tokio::time::sleep(every).await;
        }
    }
    let (sender, receiver) = tokio::sync::watch::channel(None);
    let observing = tokio::spawn(async move {
        loop {
            let status = observer.observe().await;
            if sender.send(Some(status)).is_err() {
                return;
            }
            tokio::time::sleep(every).await;
        }
    });
    // Keys are read without async, and the terminal is put right again even if drawing panics.
    let shown = tokio::task::spawn_blocking(move || {
        let mut screen = ratatui::try_init()?;
        let shown = show(&mut screen, &receiver);
        ratatui::restore();
        shown
    });
    let shown = shown.await?;
    observing.abort();
    shown
}

fn show(screen: &mut DefaultTerminal, status: &tokio::sync::watch::Receiver<Option<Status>>) -> Result<()> {
    let mut first = 0;
    loop {
        let lines = match &*status.borrow() {
            Some(status) => terminal::lines(status),
            None => vec![Line::from("looking …").dark_gray()],
        };
        anyhow::ensure!(status.has_changed().is_ok(), "the stack is no longer observed; run the command again");
        let size = screen.size()?;
        let height = size.height.saturating_sub(1);
        // A long line takes several rows.
        let rows: usize = lines.iter().map(|line| line.width().div_ceil(size.width.max(1).into()).max(1)).sum();
        first = first.min(u16::try_from(rows).unwrap_or(u16::MAX).saturating_sub(height));
        screen.draw(|frame| {
            let [body, foot] = ratatui::layout::Layout::vertical([
                ratatui::layout::Constraint::Fill(1),
                ratatui::layout::Constraint::Length(1),
            ])
            .areas(frame.area());
            let hidden = rows.saturating_sub(usize::from(first) + usize::from(body.height));
            let text = Paragraph::new(Text::from(lines)).wrap(Wrap { trim: false }).scroll((first, 0));
            frame.render_widget(text, body);
            let more = if hidden > 0 { format!("{hidden} more lines: ↓ ↑   ") } else { String::new() };
            frame.render_widget(Line::from(format!("{more}q ends this")).dark_gray(), foot);
        })?;
        if event::poll(KEYS_EVERY)?
            && let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
        {
            match key {
                KeyEvent { code: KeyCode::Char('q') | KeyCode::Esc, .. } => return Ok(()),
                KeyEvent { code: KeyCode::Char('c'), modifiers: KeyModifiers::CONTROL, .. } => return Ok(()),
                KeyEvent { code: KeyCode::Down | KeyCode::Char('j'), .. } => first = first.saturating_add(1),
                KeyEvent { code: KeyCode::Up | KeyCode::Char('k'), .. } => first = first.saturating_sub(1),
                KeyEvent { code: KeyCode::PageDown, .. } => first = first.saturating_add(height),
                KeyEvent { code: KeyCode::PageUp, .. } => first = first.saturating_sub(height),
                _ => {}
            }
        }
    }
}
