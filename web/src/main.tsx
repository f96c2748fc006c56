import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "./app.css";
import { loadPreferredLanguage } from "./i18n";
import "./state/theme";
import { App } from "./features/App";
import { dialGateway } from "./net/socket";
import { openAccountTabs } from "./state/accounttabs";
import { useApp } from "./state/app";
import { Client } from "./state/client";
import { ClientContext } from "./state/context";
import { answerServiceWorker } from "./state/push";
import { hasWorkers, registerWorker } from "./state/worker";
import { followVisibleHeight } from "./ui/visibleHeight";

answerServiceWorker();
followVisibleHeight();
const client = new Client(useApp, dialGateway, openAccountTabs());

void loadPreferredLanguage().then(() =>
  createRoot(document.getElementById("root")!).render(
    <StrictMode>
      <ClientContext value={client}>
        <App />
      </ClientContext>
    </StrictMode>,
  ),
);

// Later than everything that the page shows at first: the worker loads all that it keeps.
if (import.meta.env.PROD && hasWorkers())
  setTimeout(() => void registerWorker().catch(warnNotRegistered), 3000);

function warnNotRegistered(e: unknown) {
  console.warn("the page cannot be kept for the time without a network", e);
}
