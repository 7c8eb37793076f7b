// The link that "gwbatch console" prints carries the token after a #, so it never reaches a server or a log.
"use strict";
const token = location.hash.startsWith("#token=") ? decodeURIComponent(location.hash.slice(7)) : "";
if (token) {
  history.replaceState(null, "", location.pathname);
  document.getElementById("token").value = token;
  document.querySelector("form").requestSubmit();
}
