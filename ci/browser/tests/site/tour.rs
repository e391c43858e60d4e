//! What a reader does with a page, with the mouse and with the keyboard.

use anyhow::{Context, Result, bail, ensure};
use browser::chromium::Page;
use browser::site::Site;
use serde_json::{Value, json};

use crate::pages::{LAPTOP, PHONE, barriers, colour_barriers, set_screen};

/// What does not work. The page is as wide as a laptop, and the chapters are at least two.
pub async fn take(page: &mut Page, site: &Site, chapters: &[String]) -> Result<Vec<String>> {
    let [first, .., last] = chapters else {
        bail!("the tour needs two chapters");
    };
    let last = format!("/{last}");

    let mut problems = Vec::new();
    let mut note = |step: &str, taken: Result<Vec<String>>, page: &mut Page| {
        let found = taken.unwrap_or_else(|error| vec![format!("{error:#}")]);
        let found = found.into_iter().chain(page.take_problems());
        problems.extend(found.map(|problem| format!("{step}: {problem}")));
    };
    // Each step begins where the one before it ends: a page is quick to look at once it is known.
    let taken = front_page(page).await;
    note("the front page", taken, page);
    let taken = keyboard(page).await;
    note("the keyboard", taken, page);
    let taken = help(page).await;
    note("the help", taken, page);
    let taken = search(page, site, &last).await;
    note("the search", taken, page);
    let taken = themes(page).await;
    note("the choice of a theme", taken, page);
    let taken = closed_sidebar(page).await;
    note("the closed sidebar", taken, page);
    let taken = phone(page).await;
    note("the sidebar of a phone", taken, page);
    let taken = next_chapter(page, first).await;
    note("the next chapter", taken, page);
    let taken = copy(page, chapters).await;
    note("the copy button", taken, page);
    let taken = packets(page, site, chapters).await;
    note("the packets of a figure", taken, page);
    let taken = refused(page).await;
    note("the policy", taken, page);
    Ok(problems)
}

/// The one place where every link of the sidebar is looked at.
async fn front_page(page: &mut Page) -> Result<Vec<String>> {
    page.open("/index.html").await?;
    page.evaluate("thin(false)").await?;
    barriers(page).await
}

/// The first stop is the link to the text. The sidebar, which is open, opens and closes.
async fn keyboard(page: &mut Page) -> Result<Vec<String>> {
    page.press("Tab").await?;
    let first = focused(page).await?;
    ensure!(first == "skip-link", "the first stop is {first}");
    let stops = tab_to_sidebar_button(page).await?;
    ensure!(stops > 3, "the open sidebar has no stops");
    for (key, opens) in [("Enter", false), (" ", true)] {
        page.press(key).await?;
        let is_open = page
            .evaluate(
                "document.getElementById('mdbook-sidebar')
                    .checkVisibility({ visibilityProperty: true })",
            )
            .await?;
        ensure!(
            is_open == opens,
            "after {key:?}: is the sidebar open? {is_open}"
        );
        let said = page.evaluate("document.activeElement.ariaExpanded === 'true'");
        ensure!(
            said.await? == opens,
            "after {key:?}: the button says something else"
        );
    }
    Ok(Vec::new())
}

/// It stays closed on the next page, and has no stops.
async fn closed_sidebar(page: &mut Page) -> Result<Vec<String>> {
    page.click("#sidebar-button").await?;
    page.evaluate("appears('#sidebar-button[aria-expanded=false]')")
        .await?;
    page.open("/index.html?closed").await?;
    let stops = tab_to_sidebar_button(page).await?;
    ensure!(stops == 2, "its button is stop number {stops}");
    page.press("Enter").await?;

    page.evaluate("document.querySelector('.skip-link').focus()")
        .await?;
    page.press("Enter").await?;
    let hash = page.evaluate("location.hash").await?;
    ensure!(
        hash == "#mdbook-content",
        "the link to the text leads to {hash}"
    );
    Ok(Vec::new())
}

async fn tab_to_sidebar_button(page: &Page) -> Result<usize> {
    for stop in 1..=200 {
        page.press("Tab").await?;
        if focused(page).await? == "sidebar-button" {
            return Ok(stop);
        }
    }
    bail!("there are 200 stops, and none is the button of the sidebar")
}

async fn focused(page: &Page) -> Result<Value> {
    page.evaluate("document.activeElement.id || document.activeElement.className")
        .await
}

/// It is closed at first, and Escape closes it.
async fn phone(page: &mut Page) -> Result<Vec<String>> {
    set_screen(page, &PHONE).await?;
    page.open("/index.html?phone").await?;
    for (key, is_open) in [
        (None, false),
        (Some("Enter"), true),
        (Some("Escape"), false),
    ] {
        if let Some(key) = key {
            page.evaluate("document.getElementById('sidebar-button').focus()")
                .await?;
            page.press(key).await?;
        }
        page.evaluate(&format!(
            "appears('#sidebar-button[aria-expanded={is_open}]')"
        ))
        .await
        .with_context(|| format!("after {key:?}"))?;
    }
    set_screen(page, &LAPTOP).await?;
    Ok(Vec::new())
}

/// The links under the text lead to the next chapter and back.
async fn next_chapter(page: &mut Page, chapter: &str) -> Result<Vec<String>> {
    page.open(&format!("/{chapter}?next")).await?;
    let there = "document.querySelector('.chapter-nav a[rel=next]') ? 'next' : 'prev'";
    let (there, back) = match page.evaluate(there).await?.as_str() {
        Some("next") => ("next", "prev"),
        _ => ("prev", "next"),
    };
    for direction in [there, back] {
        page.click(&format!(".chapter-nav a[rel={direction}]"))
            .await?;
        page.wait_for_next_page().await?;
    }
    let path = page.evaluate("location.pathname").await?;
    ensure!(
        path == format!("/{chapter}"),
        "{there} and {back} from {chapter} lead to {path}"
    );
    Ok(Vec::new())
}

/// Every block of code has the button. One is tried.
async fn copy(page: &mut Page, chapters: &[String]) -> Result<Vec<String>> {
    for chapter in chapters {
        page.open(&format!("/{chapter}?copy")).await?;
        let without =
            "document.querySelectorAll('main pre:has(> code):not(:has(.clip-button svg))')";
        let without = page.evaluate(&format!("{without}.length")).await?;
        ensure!(
            without == 0,
            "{without} blocks of code on {chapter} don't have it"
        );
        let has_code = "document.querySelector('main > pre .clip-button') !== null";
        if page.evaluate(has_code).await? == true {
            page.click("main > pre .clip-button").await?;
            let said = page.evaluate("appears('.tooltipped .tooltiptext')").await?;
            ensure!(said == "Copied!", "it says {said} on {chapter}");
            return Ok(Vec::new());
        }
    }
    bail!("no chapter has code")
}

/// Every packet of a figure is shown, byte by byte as its capture has it, with the mouse and with the keyboard.
async fn packets(page: &mut Page, site: &Site, chapters: &[String]) -> Result<Vec<String>> {
    for chapter in chapters {
        page.open(&format!("/{chapter}?packets")).await?;
        let figure = "figure.wire:has(.inspect)";
        let has_figure = format!("document.querySelector({figure:?}) !== null");
        if page.evaluate(&has_figure).await? != true {
            continue;
        }
        let names = format!(
            "[...document.querySelector({figure:?}).querySelectorAll('a[download]')]
                .map(link => new URL(link.href).pathname.slice(1))"
        );
        let names = page.evaluate(&names).await?;
        let mut captures = Vec::new();
        for name in names.as_array().context("a list of captures")? {
            let name = name.as_str().context("a path")?;
            let bytes = std::fs::read(site.path().join(name)).context(name.to_owned())?;
            captures.extend(bytes);
        }
        page.click(&format!("{figure} .inspect")).await?;
        page.evaluate("appears('.inspector .title')").await?;
        let title = "document.querySelector('.inspector .title').textContent";
        let first = page.evaluate(title).await?;
        let count = first.as_str().and_then(|first| {
            let (_, rest) = first.strip_prefix("Packet 1 of ")?.split_once(',')?;
            let count = first["Packet 1 of ".len()..].split(',').next()?;
            rest.starts_with(" sent by ")
                .then(|| count.parse::<usize>().ok())?
        });
        let count = count.with_context(|| format!("the first packet is called {first}"))?;
        for number in 1..=count {
            let hex = page
                .evaluate(
                    "[...document.querySelectorAll('.inspector td code')]
                        .map(cell => cell.textContent).join(' ')",
                )
                .await?;
            let bytes: Option<Vec<u8>> = hex
                .as_str()
                .unwrap_or_default()
                .split(' ')
                .map(|byte| u8::from_str_radix(byte, 16).ok())
                .collect();
            let bytes = bytes.with_context(|| format!("packet {number} has the bytes {hex}"))?;
            ensure!(
                bytes.len() >= 28 && captures.windows(bytes.len()).any(|found| found == bytes),
                "no capture has the bytes of packet {number}: {hex}"
            );
            page.press("ArrowRight").await?;
        }
        let last = page.evaluate(title).await?;
        let begin = format!("Packet {count} of {count},");
        ensure!(
            count > 3 && last.as_str().is_some_and(|last| last.starts_with(&begin)),
            "after {count} packets it shows {last}"
        );
        page.press("Home").await?;
        ensure!(
            page.evaluate(title).await? == first,
            "Home does not lead back"
        );
        let path = page.evaluate("location.pathname").await?;
        ensure!(path == format!("/{chapter}"), "the arrows turned the page");
        page.evaluate("thin()").await?;
        return barriers(page).await;
    }
    bail!("no chapter has a figure with packets")
}

/// The title of a chapter, typed on the front page, leads to the chapter.
async fn search(page: &mut Page, site: &Site, chapter: &str) -> Result<Vec<String>> {
    let html = site.read(&chapter[1..])?;
    let title = html
        .split_once("<title>")
        .and_then(|(_, rest)| rest.split_once(" - "));
    let (title, _) = title.with_context(|| format!("{chapter} has no title"))?;

    page.press("/").await?;
    page.evaluate("appears('#mdbook-search-wrapper:not(.hidden)')")
        .await?;
    // Every key searches again: one is enough.
    page.call("Input.insertText", json!({ "text": title }))
        .await?;
    page.press(" ").await?;
    let result = format!("#mdbook-searchresults a[href*={:?}]", &chapter[1..]);
    page.evaluate(&format!("appears({result:?})")).await?;
    let problems = barriers(page).await?;
    page.click(&result).await?;
    page.wait_for_next_page().await?;
    let path = page.evaluate("location.pathname").await?;
    ensure!(path == chapter, "the result for {title:?} leads to {path}");
    page.evaluate("appears('main mark')").await?;
    Ok(problems)
}

/// On the page that is shown each theme is chosen with the mouse. The last is there on the next.
async fn themes(page: &mut Page) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    page.evaluate("thin()").await?;
    for theme in ["rust", "ayu", "coal"] {
        page.click("#mdbook-theme-toggle").await?;
        page.click(&format!("#mdbook-theme-{theme}")).await?;
        page.evaluate(&format!("appears('html.{theme}')")).await?;
        // The list of themes is still open, and is looked at with the page.
        let found = colour_barriers(page).await?;
        problems.extend(
            found
                .into_iter()
                .map(|problem| format!("{theme}: {problem}")),
        );
        page.press("Escape").await?;
    }
    page.open("/index.html?theme").await?;
    let kept = page.evaluate("document.documentElement.classList.contains('coal')");
    ensure!(
        kept.await? == true,
        "it was chosen, and is gone on the next page"
    );
    page.click("#mdbook-theme-toggle").await?;
    page.click("#mdbook-theme-default_theme").await?;
    page.evaluate("appears('html.light')").await?;
    page.press("Escape").await?;
    Ok(problems)
}

async fn help(page: &mut Page) -> Result<Vec<String>> {
    page.press("?").await?;
    page.evaluate("appears('#mdbook-help-container[style*=flex]')")
        .await?;
    let problems = barriers(page).await?;
    page.press("Escape").await?;
    page.evaluate("appears('#mdbook-help-container[style*=none]')")
        .await?;
    Ok(problems)
}

/// The policy is in force: it refuses strange code and hosts, and not the reload of
/// `cargo book serve`.
async fn refused(page: &mut Page) -> Result<Vec<String>> {
    let refused = page.evaluate("tryStrangeThings()").await?;
    ensure!(
        refused == "connect-src img-src script-src-elem style-src-attr",
        "it refused {refused}"
    );
    // The browser says so on the console, which is right here.
    page.take_problems();
    Ok(Vec::new())
}
