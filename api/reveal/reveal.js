// Takes the token from behind the # of the address, where no server sees it, and swaps it for the password when the
// person asks for it: not on load, because a preview of the link must not use it up.
"use strict";

const byId = (id) => document.getElementById(id);
const token = decodeURIComponent(location.hash.slice(1));
const askSomebody = "Ask whoever sent you this link, your reseller or the marketplace, for a new password.";

function tell(title, text, wayOut) {
  byId("status").textContent = "";
  byId("problem-title").textContent = title;
  byId("problem-text").textContent = text;
  byId("problem-way-out").textContent = wayOut;
  byId("problem").hidden = false;
  byId("problem").focus();
}

function show(answer) {
  byId("ask").hidden = true;
  byId("problem").hidden = true;
  byId("status").textContent = "";
  byId("user").textContent = answer.iam_user_name;
  byId("password").textContent = answer.password;
  byId("sign-in").href = answer.sign_in_url;
  byId("shown").hidden = false;
  byId("shown").focus();
  history.replaceState(null, "", location.pathname); // the token is worth nothing now: out of the history with it
}

async function reveal() {
  byId("show").disabled = true;
  byId("problem").hidden = true;
  byId("status").textContent = "Fetching the password…";
  let response;
  try {
    response = await fetch("v1/password-reveals", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
      cache: "no-store",
      credentials: "omit",
    });
  } catch {
    byId("show").disabled = false;
    tell("No connection", "The password could not be fetched.", "Check your connection and try again. If the link turns out to be used up, " + askSomebody.toLowerCase());
    return;
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) {
    show(answer);
  } else if (response.status === 410) {
    byId("ask").hidden = true;
    tell("This link is used up", "The password was shown before, or the link is older than 72 hours. It cannot be shown again.",
      askSomebody + " If you have not opened it yourself, say so: somebody else may have seen the password.");
  } else if (response.status === 404 || response.status === 422) {
    byId("ask").hidden = true;
    tell("This link does not work", "There is no password behind it. Perhaps it was not copied as a whole.", "Copy the whole link and open it again. " + askSomebody);
  } else {
    byId("show").disabled = false;
    tell("That did not work", answer.detail || "The service does not answer as it should.",
      "Try again in a minute." + (answer.request_id ? " When you ask for help, name the request " + answer.request_id + "." : ""));
  }
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(byId(button.dataset.copy).textContent);
      byId("status").textContent = "Copied.";
    } catch {
      byId("status").textContent = "Copying is not allowed here: mark the text and copy it by hand.";
    }
  });
}

if (token) {
  byId("ask").hidden = false;
  byId("show").addEventListener("click", reveal);
} else {
  tell("This link is not complete", "The part behind the # is missing.", "Copy the whole link and open it again. " + askSomebody);
}
