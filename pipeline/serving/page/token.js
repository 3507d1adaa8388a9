// The bearer token: asked for when the service wants one, and kept for this tab only.
import { $ } from "./elements.js";

const KEY = "deepsched-token";
let asking = null; // one dialog, whoever waits for it

export const token = () => sessionStorage.getItem(KEY);

export function forget() {
  sessionStorage.removeItem(KEY);
  $("forget").hidden = true;
}
export function askToken() { // whether there is one to try now
  asking ??= new Promise((resolve) => {
    const dialog = $("asking"), refused = token() !== null;
    forget();
    $("asking-why").textContent = refused
      ? "The service does not know that token. It stays in this tab until you close it."
      : "It answers those who have one. It stays in this tab until you close it.";
    $("token").value = "";
    dialog.returnValue = "";
    $("dismiss").onclick = () => dialog.close("");
    dialog.onclose = () => {
      const given = $("token").value.trim();
      $("token").value = "";
      asking = null;
      if (dialog.returnValue === "use" && given) {
        sessionStorage.setItem(KEY, given);
        $("forget").hidden = false;
      }
      resolve(dialog.returnValue === "use" && given !== "");
    };
    dialog.showModal();
  });
  return asking;
}
$("forget").hidden = token() === null;
$("forget").onclick = forget;
