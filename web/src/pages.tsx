// What each page beside the conversations is called and shows; its code is fetched when it is first opened.
import { lazy, type ComponentType } from "react";
import type { WordKey } from "./i18n";
import type { Place } from "./places";
import type { ChatStore } from "./store";

interface Page {
  title: WordKey;
  Content: ComponentType<{ store: ChatStore }>;
}

export const PAGES: Record<Place, Page> = {
  learn: { title: "learn", Content: lazy(() => import("./Learn").then((module) => ({ default: module.Learn }))) },
  admin: { title: "people.admin", Content: lazy(() => import("./Admin").then((module) => ({ default: module.Admin }))) },
  account: { title: "people.account", Content: lazy(() => import("./Account").then((module) => ({ default: module.Account }))) },
  deleted: { title: "deletedPage", Content: lazy(() => import("./Deleted").then((module) => ({ default: module.Deleted }))) },
  data: { title: "yourData", Content: lazy(() => import("./YourData").then((module) => ({ default: module.YourData }))) },
};
