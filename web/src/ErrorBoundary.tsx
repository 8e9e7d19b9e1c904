// What fails while it is drawn, or whose code cannot be fetched, says so in its place; the rest of the page goes on.
import { Component, type ReactNode } from "react";
import { useWords } from "./i18n";

interface ErrorBoundaryProps {
  children: ReactNode;
  /** What stands there meanwhile. */
  instead: ReactNode;
  /** Before the children are drawn again. */
  onRetry: () => void;
}

export class ErrorBoundary extends Component<ErrorBoundaryProps, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  override render() {
    if (!this.state.failed) return this.props.children;
    const retry = () => {
      this.props.onRetry();
      this.setState({ failed: false });
    };
    return (
      <>
        {this.props.instead}
        <Notice onRetry={retry} />
      </>
    );
  }
}

function Notice({ onRetry }: { onRetry: () => void }) {
  const words = useWords();
  return (
    <div className="trouble unopened" role="alert">
      <p>{words("unopened")}</p>
      <button type="button" onClick={onRetry}>
        {words("retry")}
      </button>
      <button type="button" onClick={() => location.reload()}>
        {words("reload")}
      </button>
    </div>
  );
}
