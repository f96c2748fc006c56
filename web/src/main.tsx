import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "./app.css";
import "./i18n";
import "./state/theme";
import { App } from "./features/App";
import { answerWorker } from "./state/push";

answerWorker();

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
