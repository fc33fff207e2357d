// A thin façade around xterm: the hot path crosses into wasm once per frame. xterm itself is a chunk of its own, loaded on first use.

/**
 * Style elements are refused by our Content-Security-Policy, even empty ones. xterm makes three and only sets their text: it
 * gets an element that holds nothing, and the text becomes a constructed sheet, which the policy allows.
 */
function createStyle(create) {
  const element = create("template");
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  Object.defineProperty(element, "textContent", { set: (css) => sheet.replaceSync(css), get: () => "" });
  const remove = element.remove.bind(element);
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
    remove();
  };
  return element;
}

let stylesAreSheets = false;
function turnStylesIntoSheets() {
  if (stylesAreSheets) return;
  stylesAreSheets = true;
  const create = document.createElement.bind(document);
  document.createElement = (name, options) => (name === "style" ? createStyle(create) : create(name, options));
}

function theme() {
  const style = getComputedStyle(document.documentElement);
  const token = (name) => style.getPropertyValue(`--${name}`).trim();
  const colours = { background: token("terminal-background"), foreground: token("terminal-foreground"),
    cursor: token("terminal-cursor"), cursorAccent: token("terminal-background"),
    selectionBackground: token("terminal-selection") };
  for (const name of ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"]) {
    colours[name] = token(`terminal-${name}`);
    colours[`bright${name[0].toUpperCase()}${name.slice(1)}`] = token(`terminal-bright-${name}`);
  }
  return colours;
}

class TerminalView {
  constructor(xterm, fit, host, on) {
    this.xterm = xterm;
    this.fit = fit;
    this.host = host;
    const text = new TextEncoder();
    this.disposables = [
      xterm.onData((data) => on.data(text.encode(data))),
      // Mouse reports of old programs: one byte per character, not UTF-8.
      xterm.onBinary((data) => on.data(Uint8Array.from(data, (c) => c.charCodeAt(0)))),
      xterm.onResize(({ cols, rows }) => on.resize(cols, rows)),
      xterm.onTitleChange((title) => on.title(title)),
    ];
    this.observer = new ResizeObserver(() => this.refit());
    this.observer.observe(host);
    this.scheme = matchMedia("(prefers-color-scheme: light)");
    this.recolour = () => { xterm.options.theme = theme(); };
    this.scheme.addEventListener("change", this.recolour);
    // Before xterm's own handler: a paste beyond the limit is refused whole, never cut.
    this.guardPaste = (event) => {
      const bytes = text.encode(event.clipboardData?.getData("text/plain") ?? "").length;
      if (bytes > on.pasteBytesMax) {
        event.preventDefault();
        event.stopImmediatePropagation();
        on.pasteRefused();
      }
    };
    host.addEventListener("paste", this.guardPaste, true);
    xterm.attachCustomKeyEventHandler((event) => this.shortcut(event, on));
  }

  /** Copy and paste by keyboard; plain Ctrl+C stays the program's. */
  shortcut(event, on) {
    const chord = event.ctrlKey && event.shiftKey && !event.altKey && !event.metaKey;
    if (event.type !== "keydown" || !chord) return true;
    if (event.code === "KeyC" && this.xterm.hasSelection()) {
      event.preventDefault();
      navigator.clipboard.writeText(this.selection()).catch(() => on.copyRefused());
      return false;
    }
    // The browser turns it into a paste event, which needs no permission.
    return event.code !== "KeyV";
  }

  refit() {
    if (this.host.clientWidth > 0 && this.host.clientHeight > 0) this.fit.fit();
  }

  write(bytes, parsed) {
    this.xterm.write(bytes, () => parsed(bytes.length));
  }

  reset() {
    this.xterm.reset();
  }

  focus() {
    this.xterm.focus();
  }

  columns() {
    return this.xterm.cols;
  }

  rows() {
    return this.xterm.rows;
  }

  readOnly(readOnly) {
    this.xterm.options.disableStdin = readOnly;
    this.xterm.options.cursorBlink = !readOnly;
  }

  selection() {
    return this.xterm.getSelection();
  }

  hasSelection() {
    return this.xterm.hasSelection();
  }

  paste(text) {
    this.xterm.paste(text);
  }

  /** The screen's text, for tests and for reading aloud. */
  text() {
    const buffer = this.xterm.buffer.active;
    const lines = [];
    for (let row = 0; row < buffer.length; row++) lines.push(buffer.getLine(row)?.translateToString(true) ?? "");
    return lines.join("\n");
  }

  dispose() {
    this.observer.disconnect();
    this.scheme.removeEventListener("change", this.recolour);
    this.host.removeEventListener("paste", this.guardPaste, true);
    this.disposables.forEach((disposable) => disposable.dispose());
    this.xterm.dispose();
    if (globalThis.berthTerminal === this) delete globalThis.berthTerminal;
  }
}

export async function openTerminal(host, on) {
  const [{ Terminal }, { FitAddon }] = await Promise.all([import("@xterm/xterm"), import("@xterm/addon-fit")]);
  turnStylesIntoSheets();
  const xterm = new Terminal({
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--font-mono"),
    fontSize: 14,
    cursorBlink: true,
    scrollback: 10000,
    minimumContrastRatio: 4.5,
    theme: theme(),
    macOptionIsMeta: true,
  });
  const fit = new FitAddon();
  xterm.loadAddon(fit);
  xterm.open(host);
  xterm.textarea.setAttribute("aria-label", on.label);
  const view = new TerminalView(xterm, fit, host, on);
  view.refit();
  // For a person at the console, and for journeys: what is on the screen.
  globalThis.berthTerminal = view;
  return view;
}
