// The token follows the # of the address, which browsers do not send to servers. The script exchanges it for the password when
// the person asks for it, and not on load, because a preview of the link must not use it up.
"use strict";

const byId = (id) => document.getElementById(id);
const token = decodeURIComponent(location.hash.slice(1));

// tell shows what went wrong and what to do. With needsNewLink the page also shows how to get a new link.
function tell(title, text, wayOut, needsNewLink) {
  byId("status").textContent = "";
  byId("problem-title").textContent = title;
  byId("problem-text").textContent = text;
  byId("problem-way-out").textContent = wayOut;
  byId("problem").hidden = false;
  byId("help").hidden = !needsNewLink;
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
  history.replaceState(null, "", location.pathname); // the token is used up, so the browser's history does not need it
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
    tell("No connection", "The page could not fetch the password.", "Check your connection and try again.", false);
    return;
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) {
    show(answer);
  } else if (response.status === 410) {
    byId("ask").hidden = true;
    tell("This link does not work any more", "It was used before, or a newer link took its place, or it is older than 72 hours.",
      "If you have not opened it yourself, someone else may have seen the password: say so when you ask for a new link.", true);
  } else if (response.status === 404 || response.status === 422) {
    byId("ask").hidden = true;
    tell("This link is not known", "It leads to no password. Perhaps it was not copied as a whole.",
      "Copy the whole link from the message, including its last character, and open it again.", true);
  } else {
    byId("show").disabled = false;
    tell("That did not work", answer.detail || "The service does not answer as it should.",
      "The link is not used up. Try again in a minute." + (answer.request_id ? " When you ask for help, give the request id " + answer.request_id + "." : ""), false);
  }
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(byId(button.dataset.copy).textContent);
      byId("status").textContent = "Copied.";
    } catch {
      byId("status").textContent = "The browser does not allow this page to copy: select the text and copy it yourself.";
    }
  });
}

if (token) {
  byId("ask").hidden = false;
  byId("show").addEventListener("click", reveal);
} else {
  tell("This link is not complete", "The part after the # is missing.", "Copy the whole link from the message and open it again.", true);
}
