//! Every page in a browser: light and dark, on a laptop and a phone, the sidebar open and closed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use browser::chromium::{Browser, Page};
use browser::site::Site;
use passed::{Inputs, Passed};
use serde_json::{Value, json};

const AXE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/node_modules/axe-core/axe.min.js"
);

/// A path that no page has, deep enough for a wrong relative link to show.
const MISSING: &str = "no/such/page.html";

#[test]
fn every_page_works_in_a_browser() -> Result<()> {
    let skip = |reason| browser::skip("every_page_works_in_a_browser", reason);
    let Some(program) = Browser::find() else {
        skip("Chromium is not installed; CHROMIUM can name a browser of its kind");
        return Ok(());
    };
    let Ok(axe) = std::fs::read_to_string(AXE) else {
        skip("axe-core is not installed: npm install --prefix ci/browser");
        return Ok(());
    };
    let tools = [program.as_path(), Path::new(AXE)];
    crate::check("pages", &tools, || {
        let site = Site::built()?;
        let passed = Passed::within(env!("CARGO_TARGET_TMPDIR"), "pages")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let problems = runtime.block_on(look_at_all(&program, &axe, &site, &passed))?;
        assert!(problems.is_empty(), "\n{}", problems.join("\n"));
        Ok(())
    })
}

enum Task {
    Tour,
    Visit(String),
}

impl Task {
    fn name(&self) -> &str {
        match self {
            Task::Tour => "the tour",
            Task::Visit(file) => file,
        }
    }
}

/// What is to be done, each with all that its outcome depends on.
type Queue = VecDeque<(Task, Option<Inputs>)>;

async fn look_at_all(
    program: &Path,
    axe: &str,
    site: &Site,
    passed: &Passed,
) -> Result<Vec<String>> {
    let mut files = site.html_files()?;
    // The sidebar of those who have no scripts, and the first chapter once more, which the tour
    // opens often.
    files.remove("toc.html");
    files.remove("index.html");
    let mut chapters: Vec<_> = files.iter().cloned().collect();
    chapters.retain(|file| file != "404.html" && file != "print.html");

    let mut tools = Inputs::new()?;
    tools.program(program)?.program(Path::new(AXE))?;
    let inputs = |files: &BTreeSet<String>| {
        let mut inputs = tools.clone();
        for file in files {
            // The folder of the site is another one each time.
            inputs.add((file, std::fs::read(site.path().join(file)).ok()));
        }
        inputs
    };
    let whole = inputs(&site.files()?);
    let mut queue = Queue::from([(Task::Tour, Some(whole))]);
    for file in files {
        // A page that asks for something strange has no list of files, and won't pass.
        let loaded = site.files_loaded_by(&file);
        let inputs = loaded.map(|files| inputs(&files)).ok();
        queue.push_back((Task::Visit(file), inputs));
    }
    queue.retain(|(task, inputs)| {
        !inputs
            .as_ref()
            .is_some_and(|inputs| passed.has(task.name(), inputs))
    });
    if queue.is_empty() {
        return Ok(Vec::new());
    }

    let address = site.serve().await?;
    let browser = Browser::start(program).await?;
    let queue = RefCell::new(queue);
    let tab = || async {
        let page = new_page(&browser, address, axe).await?;
        work(page, site, &chapters, &queue, passed).await
    };
    let (first, second) = tokio::try_join!(tab(), tab())?;

    let mut problems = Vec::new();
    for worked in [first, second] {
        problems.extend(worked);
    }
    Ok(problems)
}

/// Does what is to be done until nothing is left, and returns the problems. Another tab takes from the same queue.
async fn work(
    mut page: Page,
    site: &Site,
    chapters: &[String],
    queue: &RefCell<Queue>,
    passed: &Passed,
) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    loop {
        let Some((task, inputs)) = queue.borrow_mut().pop_front() else {
            return Ok(problems);
        };
        set_screen(&page, &LAPTOP).await?;
        set_dark(&page, false).await?;
        let found = match &task {
            Task::Tour => crate::tour::take(&mut page, site, chapters).await,
            Task::Visit(file) => visit(&mut page, site, file).await,
        };
        match found {
            Ok(found) if found.is_empty() => {
                if let Some(inputs) = inputs {
                    passed.add(task.name(), &inputs);
                }
            }
            Ok(found) => problems.extend(found),
            Err(error) => problems.push(format!("{}: {error:#}", task.name())),
        }
        page.evaluate("localStorage.clear()").await?;
    }
}

async fn new_page(browser: &Browser, site: SocketAddr, axe: &str) -> Result<Page> {
    let page = browser.new_page(site).await?;
    // Where axe-core is not used, it is not even compiled.
    let axe = format!("globalThis.loadAxe = () => {{ {axe} }};");
    for script in ["window.print = () => {};", &axe, include_str!("checks.js")] {
        page.before_every_document(script).await?;
    }
    Ok(page)
}

pub struct Screen {
    width: u32,
    height: u32,
    is_phone: bool,
}

pub const LAPTOP: Screen = Screen {
    width: 1366,
    height: 768,
    is_phone: false,
};
pub const PHONE: Screen = Screen {
    width: 360,
    height: 740,
    is_phone: true,
};

impl Screen {
    fn overflow(&self) -> String {
        format!("findOverflow({})", self.width)
    }
}

pub async fn set_screen(page: &Page, screen: &Screen) -> Result<()> {
    let metrics = json!({
        "width": screen.width,
        "height": screen.height,
        "deviceScaleFactor": 1,
        "mobile": screen.is_phone,
    });
    page.call("Emulation.setDeviceMetricsOverride", metrics)
        .await?;
    Ok(())
}

async fn set_dark(page: &Page, dark: bool) -> Result<()> {
    let scheme = if dark { "dark" } else { "light" };
    let features = json!([
        { "name": "prefers-color-scheme", "value": scheme },
        // Colours are measured, so none may be on its way to another.
        { "name": "prefers-reduced-motion", "value": "reduce" },
    ]);
    page.call(
        "Emulation.setEmulatedMedia",
        json!({ "features": features }),
    )
    .await?;
    Ok(())
}

/// Everything that is wrong with one page.
async fn visit(page: &mut Page, site: &Site, file: &str) -> Result<Vec<String>> {
    let is_missing = file == "404.html";
    let url = format!("/{}", if is_missing { MISSING } else { file });
    if is_missing {
        page.open_missing(&url).await?;
    } else {
        page.open(&url).await?;
    }
    let jumps = find(page, &["findJumps()"]).await?;
    page.evaluate("unfold()").await?;
    page.evaluate("appears('html.light')").await?;

    // From the problem to the views that have it.
    let mut problems = BTreeMap::<_, BTreeSet<_>>::new();
    let mut note = |view: &str, found: Vec<String>| {
        for problem in found {
            problems.entry(problem).or_default().insert(view.to_owned());
        }
    };
    note("laptop", jumps);
    let findings = [&*LAPTOP.overflow(), "findNarrowCode()", "findOverlaps()"];
    note("laptop", find(page, &findings).await?);
    set_screen(page, &PHONE).await?;
    toggle_sidebar(page, false).await?;
    note(
        "phone",
        find(page, &[&PHONE.overflow(), "findOverlaps()"]).await?,
    );

    // The whole book on one page takes long, and has nothing that its chapters don't have.
    if file != "print.html" {
        page.evaluate("thin()").await?;
        note("phone, light, sidebar closed", barriers(page).await?);

        set_dark(page, true).await?;
        page.evaluate("appears('html.navy')").await?;
        note("phone, dark, sidebar closed", colour_barriers(page).await?);

        set_screen(page, &LAPTOP).await?;
        toggle_sidebar(page, true).await?;
        note("laptop, dark, sidebar open", colour_barriers(page).await?);

        set_dark(page, false).await?;
        page.evaluate("appears('html.light')").await?;
        note("laptop, light, sidebar open", barriers(page).await?);
    }

    note("any view", page.take_problems());
    // The weight is taken from what the files name: here it shows that this is all.
    match site.files_loaded_by(file) {
        Ok(named) => {
            let asked = page.requests().iter();
            let unnamed = asked.filter(|asked| **asked != url && !named.contains(&asked[1..]));
            let unnamed = unnamed.map(|asked| format!("loads {asked}, which is not weighed"));
            note("any view", unnamed.collect());
        }
        Err(error) => note("any view", vec![error.to_string()]),
    }

    let lines = problems.into_iter().map(|(problem, views)| {
        let views: Vec<_> = views.into_iter().collect();
        format!("{file} ({}): {problem}", views.join("; "))
    });
    Ok(lines.collect())
}

async fn toggle_sidebar(page: &Page, is_open: bool) -> Result<()> {
    page.evaluate("document.getElementById('sidebar-button').click()")
        .await?;
    let state = format!("appears('#sidebar-button[aria-expanded={is_open}]')");
    page.evaluate(&state).await?;
    Ok(())
}

/// What these functions of checks.js find: each gives a list.
async fn find(page: &Page, calls: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for call in calls {
        let list = page.evaluate(call).await?;
        let list = list
            .as_array()
            .with_context(|| format!("{call} gave {list}"))?;
        found.extend(list.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    Ok(found)
}

/// The rules of accessibility that the page breaks.
pub async fn barriers(page: &Page) -> Result<Vec<String>> {
    find(page, &["findBarriers()"]).await
}

/// Of these, those that another theme can break: it changes colours and nothing else.
pub async fn colour_barriers(page: &Page) -> Result<Vec<String>> {
    find(
        page,
        &["findBarriers(['color-contrast', 'link-in-text-block'])"],
    )
    .await
}
