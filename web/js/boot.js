// Starts the page. If WebAssembly cannot start, the page says so instead of staying a skeleton.
import init from "berth-glue";
import wasm from "berth-wasm";

init({ module_or_path: wasm }).catch((error) => {
  console.error(error);
  const main = document.querySelector("main");
  main.removeAttribute("aria-busy");
  main.textContent = "Berth could not start in this browser. It needs WebAssembly; update the browser, or allow it, and reload.";
});
