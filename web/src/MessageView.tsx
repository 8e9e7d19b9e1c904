// One message: an article with a heading and its text. Questions can be asked anew; what can be done with answers is in
// `Answer.tsx`.
import { memo, useRef, useState } from "react";
import { flushSync } from "react-dom";
import { Answer } from "./Answer";
import type { Message } from "./api";
import { BranchSwitch } from "./BranchSwitch";
import { CopyButton } from "./CopyButton";
import { Editor } from "./Editor";
import { focusComposer } from "./focusComposer";
import { useWords } from "./i18n";
import { useRefusal } from "./i18n/refusals";
import { PenIcon, RetryIcon } from "./icons";
import type { Pending } from "./snapshot";
import type { ChatStore } from "./store";

export interface MessageViewProps {
  message: Message;
  chatId: string;
  store: ChatStore;
  /** An answer is being made in this conversation: what adds to it must wait. */
  busy: boolean;
  /** The last message that is shown. */
  last: boolean;
}

export const MessageView = memo(function MessageView(props: MessageViewProps) {
  return props.message.role === "user" ? <Question {...props} /> : <Answer {...props} />;
});

function Question({ message, chatId, store, busy }: MessageViewProps) {
  const words = useWords();
  const [editing, setEditing] = useState<string | null>(null);
  const editButton = useRef<HTMLButtonElement>(null);

  function close(): void {
    flushSync(() => setEditing(null));
    editButton.current?.focus();
  }

  if (editing === message.id) {
    return (
      <article className="question editing" aria-labelledby={`from-${message.id}`}>
        <QuestionHeading id={message.id} />
        <Editor
          label={words("editQuestion")}
          text={message.content}
          action={words("send")}
          enterSends
          hint={words("editQuestionHint")}
          onCancel={close}
          onSave={(text) => {
            close();
            focusComposer(); // the pencil goes while the question is answered
            void store.askAnew(chatId, message.id, text);
          }}
        />
      </article>
    );
  }
  return (
    <article className="question" aria-labelledby={`from-${message.id}`}>
      <QuestionHeading id={message.id} />
      <div className="question-tools">
        {!busy && (
          <button type="button" className="quiet" ref={editButton} aria-label={words("editQuestion")} title={words("editQuestion")} onClick={() => setEditing(message.id)}>
            <PenIcon />
          </button>
        )}
        <CopyButton text={message.content} label={words("copyMessage")} />
        <BranchSwitch message={message} chatId={chatId} store={store} busy={busy} />
      </div>
      <div className="bubble">{message.content}</div>
    </article>
  );
}

function QuestionHeading({ id }: { id: string }) {
  return (
    <h2 className="unseen" id={`from-${id}`}>
      {useWords()("you")}
    </h2>
  );
}

interface PendingViewProps {
  pending: Pending;
  onRetry: () => void;
  onEdit: () => void;
}

export function PendingView({ pending, onRetry, onEdit }: PendingViewProps) {
  const words = useWords();
  const refusal = useRefusal(pending.refused);
  return (
    <>
      <article className="question" aria-labelledby={`from-${pending.clientId}`}>
        <QuestionHeading id={pending.clientId} />
        <div className="bubble">{pending.content}</div>
      </article>
      {refusal !== null && (
        <div className="trouble" role="alert">
          <p>
            {words("notSent")} {refusal}
          </p>
          <button type="button" onClick={onRetry}>
            <RetryIcon />
            {words("retry")}
          </button>
          <button type="button" onClick={onEdit}>
            {words("edit")}
          </button>
        </div>
      )}
    </>
  );
}
