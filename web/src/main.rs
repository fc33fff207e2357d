//! The page's entry: mounts the app into the shell.

fn main() {
    console_error_panic_hook::set_once();
    berth_web::app::mount();
}
