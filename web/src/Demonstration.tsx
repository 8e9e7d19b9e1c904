// Says plainly that the shipped model is small, and how to bring in another.
import { useWords } from "./i18n";

export function Demonstration({ modelId }: { modelId: string }) {
  const words = useWords();
  const commands = `bise pull ${words("modelSource")} --name ${words("modelName")}\nbise serve --model ${words("modelName")}`;
  return (
    <aside className="demonstration" aria-label={words("demonstration")}>
      <p>
        <strong>{words("demonstration")}.</strong> {words("demonstrationHelp", { model: modelId })}
      </p>
      <pre tabIndex={0}>
        <code>{commands}</code>
      </pre>
    </aside>
  );
}
