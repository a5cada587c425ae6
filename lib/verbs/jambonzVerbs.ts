// Generated from @jambonz/schema by `npm run types:verbs`: change test/helpers/verbTypes.ts instead.
// A test fails when the two differ.

/** A webhook or websocket callback that jambonz invokes when a verb completes. */
export type ActionHook = string | { url: string, method?: 'GET' | 'POST' | 'get' | 'post' | 'Get' | 'Post' | undefined, basicAuth?: Auth | undefined, [property: string]: unknown }

/** Configuration for what to do when an actionHook (webhook) takes a long time to respond. */
export interface ActionHookDelayAction {
  /** Whether to enable delay handling for actionHooks. */
  enabled?: boolean | undefined
  /** Time in seconds to wait before executing the delay actions. */
  noResponseTimeout?: number | undefined
  /** Total time in seconds to wait for a webhook response before giving up and executing the giveUpActions. */
  noResponseGiveUpTimeout?: number | undefined
  /** Number of times to retry the delay actions while still waiting for the webhook response. */
  retries?: number | undefined
  /** An array of jambonz verbs to execute while waiting for the webhook response. */
  actions?: Array<Record<string, unknown>> | undefined
  /** An array of jambonz verbs to execute if the webhook never responds within the giveUpTimeout. */
  giveUpActions?: Array<Record<string, unknown>> | undefined
}

/** Configuration for answering machine detection (AMD). */
export interface Amd {
  /** Webhook to receive AMD events (amd_human_detected, amd_machine_detected, amd_no_speech_detected, amd_decision_timeout, amd_machine_stopped_speaking, amd_tone_detected, amd_error, amd_stopped). */
  actionHook: ActionHook
  /** Number of spoken words in a greeting that triggers an amd_machine_detected result. */
  thresholdWordCount?: number | undefined
  /** Number of digits in a greeting to trigger detection. */
  digitCount?: number | undefined
  /** Timer settings controlling AMD detection windows. */
  timers?: {
    /** Milliseconds to wait for any speech before returning amd_no_speech_detected. */
    noSpeechTimeoutMs?: number | undefined
    /** Milliseconds before returning amd_decision_timeout if no determination is made. */
    decisionTimeoutMs?: number | undefined
    /** Milliseconds to wait for beep/tone detection. */
    toneTimeoutMs?: number | undefined
    /** Milliseconds of silence after speech before determining the machine greeting is complete. */
    greetingCompletionTimeoutMs?: number | undefined
  } | undefined
  /** Override the STT recognizer used for AMD speech detection. */
  recognizer?: Recognizer | undefined
}

/** Basic authentication credentials, used for authenticating with external services such as websocket endpoints or SIP registrars. */
export interface Auth {
  /** The username for authentication. */
  username: string
  /** The password for authentication. */
  password: string
}

/** Configuration for playing background filler noise (e.g. keyboard typing, hold music) while the application is processing and the caller would otherwise hear silence. */
export interface FillerNoise {
  /** Whether to enable filler noise. */
  enable: boolean
  /** URL of the audio file to play as filler noise. */
  url?: string | undefined
  /** Number of seconds to wait before starting filler noise. */
  startDelaySecs?: number | undefined
}

/** Declarative transfer-to-human config for conversational verbs (agent and s2s); runtime injects a transfer-to-human tool and runs the packaged choreography when the model calls it. */
export interface Handoff extends TransferOptions {
  /** 'auto' = LLM writes the summary; 'none' = no spoken brief; {template} = guidance for the LLM's summary. */
  brief?: 'auto' | 'none' | { template: string } | undefined
  /** Optional voice/vendor for the spoken brief. */
  briefSynthesizer?: Synthesizer | undefined
  /** Override the injected tool name. */
  toolName?: string | undefined
  /** Override the injected tool description shown to the LLM. */
  toolDescription?: string | undefined
}

/** Enable the built-in hangup tool for conversational verbs (agent and s2s). */
export interface Hangup {
  /** Default reason placed in the X-Reason SIP header when the call is hung up. */
  reason?: string | undefined
}

/** Shared properties for llm, s2s, and vendor-specific s2s verb schemas. */
export interface LlmBase {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** The LLM vendor to use. */
  vendor?: string | undefined
  /** The specific model to use from the vendor. */
  model?: string | undefined
  /** Authentication credentials for the LLM vendor API. */
  auth?: {
    /** The API key for the LLM vendor. */
    apiKey?: string | undefined
    [property: string]: unknown
  } | undefined
  /** Additional connection options for the LLM vendor, such as custom base URLs or API versions. */
  connectOptions?: Record<string, unknown> | undefined
  /** Configuration passed to the LLM including the system prompt, temperature, tools/functions, and other model parameters. */
  llmOptions?: Record<string, unknown> | undefined
  /** Model Context Protocol servers to connect to. */
  mcpServers?: Array<{ url: string, auth?: Record<string, unknown> | undefined, roots?: Array<Record<string, unknown>> | undefined, [property: string]: unknown }> | undefined
  /** A webhook invoked when the LLM conversation ends. */
  actionHook?: ActionHook | undefined
  /** A webhook invoked for real-time events during the LLM conversation (e.g. tool calls, transcription events). */
  eventHook?: ActionHook | undefined
  /** A webhook invoked when the LLM calls a tool/function. */
  toolHook?: ActionHook | undefined
  /** Declarative transfer-to-human config for s2s verbs. */
  handoff?: Handoff | undefined
  /** Enable the built-in hangup tool for s2s verbs. */
  hangup?: Hangup | undefined
  /** List of event types to receive via the eventHook. */
  events?: Array<string> | undefined
  /** Opt-in per-response stall watchdog (s2s vendors that support app-driven turn-taking, e.g. openai). */
  responseTimeoutMs?: number | undefined
  /** When a response stall is detected (see responseTimeoutMs), cancel the in-progress server-side response so the next turn does not collide with an active response. */
  cancelOnResponseTimeout?: boolean | undefined
  /** On caller barge-in, cancel the in-progress server-side response. */
  cancelOnBargeIn?: boolean | undefined
}

/** Configuration for speech-to-text recognition. */
export interface Recognizer {
  /** The STT vendor to use. */
  vendor: string
  /** An optional label identifying a specific credential set for this vendor. */
  label?: string | undefined
  /** The language code for speech recognition, in BCP-47 format. */
  language?: string | undefined
  /** A backup STT vendor to use if the primary vendor fails or is unavailable. */
  fallbackVendor?: string | undefined
  /** Credential label for the fallback vendor. */
  fallbackLabel?: string | undefined
  /** Language code to use with the fallback vendor. */
  fallbackLanguage?: string | undefined
  /** Voice activity detection settings for this recognizer. */
  vad?: Vad | undefined
  /** If true, automatically generate a prompt for the STT vendor based on context (e.g. TTS voice, language). */
  autogeneratePrompt?: boolean | undefined
  /** An array of words or phrases that the recognizer should favor. */
  hints?: Array<string | { phrase: string, boost?: number | undefined, [property: string]: unknown }> | undefined
  /** A boost factor for hint words. */
  hintsBoost?: number | undefined
  /** Additional languages the recognizer should listen for simultaneously. */
  altLanguages?: Array<string> | undefined
  /** If true, the vendor will attempt to filter profanity from transcription results. */
  profanityFilter?: boolean | undefined
  /** If true, return interim (partial) transcription results as they become available, before the utterance is complete. */
  interim?: boolean | undefined
  /** If true, recognition stops after the first complete utterance is detected. */
  singleUtterance?: boolean | undefined
  /** If true, send separate audio channels for each call leg (caller and callee) to the recognizer. */
  dualChannel?: boolean | undefined
  /** If true, perform independent recognition on each audio channel. */
  separateRecognitionPerChannel?: boolean | undefined
  /** If true, enable automatic punctuation in transcription results. */
  punctuation?: boolean | undefined
  /** If true, use an enhanced (premium) recognition model if available from the vendor. */
  enhancedModel?: boolean | undefined
  /** If true, include word-level timing information in transcription results. */
  words?: boolean | undefined
  /** If true, enable speaker diarization to identify different speakers in the audio. */
  diarization?: boolean | undefined
  /** Minimum number of speakers expected. */
  diarizationMinSpeakers?: number | undefined
  /** Maximum number of speakers expected. */
  diarizationMaxSpeakers?: number | undefined
  /** A hint to the recognizer about the type of interaction, which can improve accuracy. */
  interactionType?: 'unspecified' | 'discussion' | 'presentation' | 'phone_call' | 'voicemail' | 'voice_search' | 'voice_command' | 'dictation' | undefined
  /** North American Industry Classification System code. */
  naicsCode?: number | undefined
  /** If true, identify and label which channel each transcription segment came from. */
  identifyChannels?: boolean | undefined
  /** Name of a custom vocabulary resource configured at the vendor for improved recognition of specialized terms. */
  vocabularyName?: string | undefined
  /** Name of a vocabulary filter configured at the vendor for masking or removing specific words. */
  vocabularyFilterName?: string | undefined
  /** How filtered vocabulary words should be handled in the transcript. */
  filterMethod?: 'remove' | 'mask' | 'tag' | undefined
  /** The specific recognition model to use. */
  model?: string | undefined
  /** The level of detail in recognition results. */
  outputFormat?: 'simple' | 'detailed' | undefined
  /** How profanity should be handled in results. */
  profanityOption?: 'masked' | 'removed' | 'raw' | undefined
  /** If true, request signal-to-noise ratio information in results. */
  requestSnr?: boolean | undefined
  /** Time in milliseconds to wait for initial speech before timing out. */
  initialSpeechTimeoutMs?: number | undefined
  /** Custom Azure Speech Services endpoint URL. */
  azureServiceEndpoint?: string | undefined
  /** Azure custom speech endpoint ID for using a custom-trained model. */
  azureSttEndpointId?: string | undefined
  /** A DTMF digit that terminates speech recognition when pressed. */
  asrDtmfTerminationDigit?: string | undefined
  /** Maximum time in seconds to wait for a complete recognition result. */
  asrTimeout?: number | undefined
  /** Timeout in seconds for fast recognition mode. */
  fastRecognitionTimeout?: number | undefined
  /** Minimum confidence score (0-1) required to accept a recognition result. */
  minConfidence?: number | undefined
  deepgramOptions?: Record<string, unknown> | undefined
  googleOptions?: Record<string, unknown> | undefined
  awsOptions?: Record<string, unknown> | undefined
  azureOptions?: Record<string, unknown> | undefined
  ibmOptions?: Record<string, unknown> | undefined
  nvidiaOptions?: Record<string, unknown> | undefined
  sonioxOptions?: Record<string, unknown> | undefined
  xaiOptions?: Record<string, unknown> | undefined
  modulateOptions?: Record<string, unknown> | undefined
  assemblyAiOptions?: Record<string, unknown> | undefined
  speechmaticsOptions?: Record<string, unknown> | undefined
  openaiOptions?: Record<string, unknown> | undefined
  houndifyOptions?: Record<string, unknown> | undefined
  gladiaOptions?: Record<string, unknown> | undefined
  elevenlabsOptions?: Record<string, unknown> | undefined
  customOptions?: Record<string, unknown> | undefined
  nuanceOptions?: Record<string, unknown> | undefined
  cobaltOptions?: Record<string, unknown> | undefined
  verbioOptions?: Record<string, unknown> | undefined
}

/** Configuration for text-to-speech synthesis. */
export interface Synthesizer {
  /** The TTS vendor to use. */
  vendor: string
  /** An optional label identifying a specific credential set for this vendor. */
  label?: string | undefined
  /** The language code for speech synthesis, in BCP-47 format. */
  language?: string | undefined
  /** The voice to use for synthesis. */
  voice?: string | Record<string, unknown> | undefined
  /** A backup TTS vendor to use if the primary vendor fails or is unavailable. */
  fallbackVendor?: string | undefined
  /** Credential label for the fallback vendor. */
  fallbackLabel?: string | undefined
  /** Language code to use with the fallback vendor. */
  fallbackLanguage?: string | undefined
  /** Voice to use with the fallback vendor. */
  fallbackVoice?: string | Record<string, unknown> | undefined
  /** The synthesis engine tier to use. */
  engine?: 'standard' | 'neural' | 'generative' | 'long-form' | undefined
  /** Preferred voice gender. */
  gender?: 'MALE' | 'FEMALE' | 'NEUTRAL' | undefined
  /** Vendor-specific options passed through to the TTS provider. */
  options?: Record<string, unknown> | undefined
}

/** A call target for the 'dial' verb. */
export interface Target {
  /** The type of target to dial. */
  type: 'phone' | 'sip' | 'user' | 'teams'
  /** The phone number to dial. */
  number?: string | undefined
  /** The SIP URI to dial. */
  sipUri?: string | undefined
  /** The registered user name to dial. */
  name?: string | undefined
  /** The Microsoft Teams tenant ID. */
  tenant?: string | undefined
  /** The SIP trunk to use for the outbound call. */
  trunk?: string | undefined
  /** A webhook to invoke when the target answers, before connecting the call. */
  confirmHook?: string | ActionHook | undefined
  /** The HTTP method to use when invoking the confirmHook. */
  method?: 'GET' | 'POST' | undefined
  /** Custom SIP headers to include on the outbound INVITE. */
  headers?: Record<string, string | number> | undefined
  /** Override the From header on the outbound SIP INVITE. */
  from?: {
    /** The user part of the SIP From URI. */
    user?: string | undefined
    /** The host part of the SIP From URI. */
    host?: string | undefined
  } | undefined
  /** SIP authentication credentials for the outbound call, if the far end requires digest auth. */
  auth?: Auth | undefined
  /** If true, follow the call into voicemail if the target does not answer. */
  vmail?: boolean | undefined
  /** Override the Request-URI on the outbound SIP INVITE. */
  overrideTo?: string | undefined
  /** A SIP proxy to route the outbound call through, specified as a SIP URI. */
  proxy?: string | undefined
}

/** Shared configuration block for blind and warm transfer choreography, including destination targeting, caller handling, confirmation gates, and failure dispositions. */
export interface TransferOptions {
  /** Transfer mode: 'blind' hands off immediately without waiting for the destination to accept; 'warm' allows the agent to brief the destination before connecting the caller. */
  mode: 'blind' | 'warm'
  /** blind only: 'refer' sends a SIP REFER to the remote end; 'dial' places a bridged outbound call. */
  blindMethod?: 'refer' | 'dial' | undefined
  /** warm only: when true the caller is added to a three-way conference and can hear the brief; when false the caller is parked (on hold) and does not hear the conversation between agent and destination. */
  callerPresent?: boolean | undefined
  /** One or more call destinations. */
  target: Array<Target>
  /** Caller ID presented to the transfer destination. */
  callerId?: string | undefined
  /** warm/parked only: verbs to execute for the parked caller while the agent briefs the destination (e.g. play hold music). */
  onHoldHook?: ActionHook | undefined
  /** Seconds to wait for the destination to answer before applying the onNoAnswer disposition. */
  timeout?: number | undefined
  /** Optional human-side acceptance gate. */
  confirm?: {
    /** Text or URL of the prompt played to the destination. */
    prompt: string
    /** Single DTMF digit the destination must press to accept the transfer. */
    digit: string
  } | undefined
  /** warm only: optional answering-machine detection run on the destination leg. */
  amd?: Amd | undefined
  /** Per-outcome fallback actions when the transfer does not complete normally. */
  disposition?: {
    /** Action when the destination does not answer within timeout. */
    onNoAnswer?: 'return' | 'voicemail' | 'hangup' | undefined
    /** Action when the destination returns a busy signal. */
    onBusy?: 'return' | 'voicemail' | 'hangup' | undefined
    /** Action when the destination declines the transfer (confirm gate failed, AMD detected machine, or explicit rejection). */
    onDecline?: 'return' | 'voicemail' | 'hangup' | undefined
    /** Action when a protocol-level error occurs on the destination leg. */
    onFailure?: 'return' | 'voicemail' | 'hangup' | undefined
    /** SIP URI or HTTP URL to route the caller to voicemail. */
    voicemailUrl?: string | undefined
  } | undefined
  /** Fires when the transfer resolves — whether the call was bridged, returned to the caller, sent to voicemail, or failed. */
  actionHook?: ActionHook | undefined
  /** Optional hook for in-progress transfer events (e.g. destination ringing, brief started). */
  eventHook?: ActionHook | undefined
}

/** Voice Activity Detection configuration. */
export interface Vad {
  /** Whether to enable voice activity detection. */
  enable?: boolean | undefined
  /** Duration of voice activity (in milliseconds) required before speech is considered to have started. */
  voiceMs?: number | undefined
  /** Duration of silence (in milliseconds) required before speech is considered to have ended. */
  silenceMs?: number | undefined
  /** The VAD strategy to use. */
  strategy?: string | undefined
  /** WebRTC VAD aggressiveness mode (0-3). */
  mode?: number | undefined
  /** The VAD engine to use. */
  vendor?: 'webrtc' | 'silero' | undefined
  /** Speech detection confidence threshold for Silero VAD. */
  threshold?: number | undefined
  /** Padding in milliseconds added before and after detected speech segments. */
  speechPadMs?: number | undefined
}

/** Configures a complete voice AI agent by wiring together STT → LLM → TTS with integrated turn detection. */
export interface AgentProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** Speech-to-text configuration for the agent. */
  stt?: Recognizer | undefined
  /** Text-to-speech configuration for the agent. */
  tts?: Synthesizer | undefined
  /** When using Deepgram Flux Multilingual, automatically adjust STT language hints and switch TTS voice based on detected language. */
  autoLockLanguage?: boolean | 'always' | undefined
  /** Per-language overrides for TTS. */
  languageConfig?: Record<string, {
    /** TTS config override for this language. */
    tts?: Synthesizer | undefined
  }> | undefined
  /** Turn detection strategy. */
  turnDetection?: 'stt' | 'krisp' | { mode: 'krisp', threshold?: number | undefined, model?: string | undefined } | undefined
  /** Controls whether and how the user can interrupt the assistant while it is speaking. */
  bargeIn?: {
    /** Allow the user to interrupt the assistant while it is speaking. */
    enable?: boolean | undefined
    /** How interruptions are detected. */
    strategy?: 'vad' | 'interruptPrediction' | undefined
    /** Detection vendor for strategy 'interruptPrediction'; defaults to 'krisp' (currently the only option). */
    vendor?: string | undefined
    /** Probability threshold for interruptPrediction (0-1). */
    threshold?: number | undefined
    /** Seconds of detected speech required before confirming an interruption. */
    minSpeechDuration?: number | undefined
    /** If true, once the user interrupts the assistant does not resume speaking. */
    sticky?: boolean | undefined
    [property: string]: unknown
  } | undefined
  /** Seconds to wait after the assistant finishes speaking before prompting the user to respond. */
  noResponseTimeout?: number | undefined
  /** LLM configuration for the agent. */
  llm?: {
    /** LLM vendor id. */
    vendor?: string | undefined
    /** Vendor-specific model id (e.g. 'gpt-4o', 'claude-sonnet-4-5-20250929'). */
    model?: string | undefined
    /** Optional label to disambiguate when the account has multiple credentials for the same vendor. */
    label?: string | undefined
    /** Optional inline credentials. */
    auth?: {
      apiKey?: string | undefined
      [property: string]: unknown
    } | undefined
    /** SDK-level client options. */
    connectOptions?: {
      timeout?: number | undefined
      maxRetries?: number | undefined
      endpoint?: string | undefined
      baseURL?: string | undefined
    } | undefined
    /** Per-call LLM configuration. */
    llmOptions?: {
      /** System prompt for the model. */
      systemPrompt?: string | undefined
      /** Seed conversation history. */
      messages?: Array<{ role: 'system' | 'user' | 'assistant' | 'tool', content: unknown, [property: string]: unknown }> | undefined
      /** Alias of 'messages' (historical). */
      initialMessages?: Array<{ role: 'system' | 'user' | 'assistant' | 'tool', content: unknown, [property: string]: unknown }> | undefined
      /** Maximum tokens the model may generate per turn. */
      maxTokens?: number | undefined
      /** Sampling temperature. */
      temperature?: number | undefined
      /** Vendor-neutral thinking/reasoning effort. */
      reasoningEffort?: 'minimal' | 'low' | 'medium' | 'high' | undefined
      /** Tool / function definitions available to the model. */
      tools?: Array<Record<string, unknown>> | undefined
    } | undefined
  } | undefined
  /** A webhook invoked when the agent ends. */
  actionHook?: ActionHook | undefined
  /** A webhook invoked for agent events. */
  eventHook?: ActionHook | undefined
  /** A webhook invoked when the LLM requests a tool/function call. */
  toolHook?: ActionHook | undefined
  /** Whether the LLM should generate an initial greeting before the user speaks. */
  greeting?: boolean | undefined
  /** Enable speculative LLM prompting before end-of-turn is confirmed. */
  earlyGeneration?: boolean | undefined
  /** Enable server-side noise isolation to reduce background noise on call audio. */
  noiseIsolation?: 'krisp' | 'rnnoise' | { mode: string, level?: number | undefined, direction?: 'read' | 'write' | undefined, model?: string | undefined } | undefined
  /** External MCP servers that provide tools to the LLM. */
  mcpServers?: Array<{ url: string, auth?: Record<string, unknown> | undefined, roots?: Array<Record<string, unknown>> | undefined, [property: string]: unknown }> | undefined
  /** Declarative transfer-to-human config. */
  handoff?: Handoff | undefined
  /** Enable the built-in hangup tool. */
  hangup?: Hangup | undefined
  /** Configuration for playing filler audio while tool calls are in progress. */
  toolFiller?: false | { type: 'audio' | 'backchannel', startDelaySecs?: number | undefined, url?: string | undefined, style?: string | undefined, escalationSecs?: number | undefined, [property: string]: unknown } | undefined
}

/** Sends a 180 Ringing provisional response with an Alert-Info header. */
export interface AlertProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** The value to include in the Alert-Info header. */
  message: string
}

/** Answers an incoming call (sends a 200 OK to the SIP INVITE). */
export interface AnswerProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
}

/** Places the caller into a multi-party conference room. */
export interface ConferenceProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** The name of the conference room. */
  name: string
  /** If true, play a beep when participants join or leave. */
  beep?: boolean | undefined
  /** A tag to identify this participant. */
  memberTag?: string | undefined
  /** If set, this participant's audio is only heard by the member with the specified memberTag. */
  speakOnlyTo?: string | undefined
  /** If true (default), the conference starts when this participant joins. */
  startConferenceOnEnter?: boolean | undefined
  /** If true, the conference ends for all participants when this participant leaves. */
  endConferenceOnExit?: boolean | undefined
  /** Maximum duration of the conference in seconds. */
  endConferenceDuration?: number | undefined
  /** Maximum number of participants allowed in the conference. */
  maxParticipants?: number | undefined
  /** If true, this participant joins the conference muted. */
  joinMuted?: boolean | undefined
  /** A webhook invoked when this participant leaves the conference. */
  actionHook?: ActionHook | undefined
  /** A webhook invoked while this participant is waiting for the conference to start. */
  waitHook?: ActionHook | undefined
  /** List of conference events to receive via the statusHook. */
  statusEvents?: Array<string> | undefined
  /** A webhook to receive conference status events (joins, leaves, etc.). */
  statusHook?: ActionHook | undefined
  /** A webhook invoked when this participant first enters the conference. */
  enterHook?: ActionHook | undefined
  /** Recording configuration for the conference. */
  record?: Record<string, unknown> | undefined
  /** Audio streaming configuration for the conference. */
  listen?: Record<string, unknown> | undefined
  /** Fork the room's mixed audio to a WebSocket (preferred synonym for `listen`). */
  stream?: Record<string, unknown> | undefined
  /** If true, DTMF events from this participant are distributed to all other participants. */
  distributeDtmf?: boolean | undefined
}

/** Sets session-level defaults for the call. */
export interface ConfigProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** Default TTS configuration for the session. */
  synthesizer?: Synthesizer | undefined
  /** Default STT configuration for the session. */
  recognizer?: Recognizer | undefined
  /** Default barge-in configuration. */
  bargeIn?: {
    enable: boolean
    /** If true, barge-in settings persist across verbs rather than resetting after each verb. */
    sticky?: boolean | undefined
    actionHook?: ActionHook | undefined
    input?: Array<'speech' | 'digits'> | undefined
    minBargeinWordCount?: number | undefined
    partialResultHook?: ActionHook | undefined
    finishOnKey?: string | undefined
    numDigits?: number | undefined
    minDigits?: number | undefined
    maxDigits?: number | undefined
    interDigitTimeout?: number | undefined
    dtmfBargein?: boolean | undefined
  } | undefined
  /** Default TTS streaming configuration for the session. */
  ttsStream?: {
    enable: boolean
    synthesizer?: Synthesizer | undefined
    [property: string]: unknown
  } | undefined
  /** Session-level call recording configuration. */
  record?: Record<string, unknown> | undefined
  /** Session-level audio streaming configuration defaults. */
  listen?: Record<string, unknown> | undefined
  /** Session-level audio streaming configuration defaults. */
  stream?: Record<string, unknown> | undefined
  transcribe?: TranscribeProperties | undefined
  /** Session-level answering machine detection configuration. */
  amd?: Amd | undefined
  /** Default filler noise configuration for the session. */
  fillerNoise?: FillerNoise | undefined
  /** Default voice activity detection configuration for the session. */
  vad?: Vad | undefined
  /** If true, send call events (e.g. DTMF, call status changes) to the application via the status webhook. */
  notifyEvents?: boolean | undefined
  /** If true, include STT latency measurements in webhook payloads. */
  notifySttLatency?: boolean | undefined
  /** Reset specific session-level settings to their defaults. */
  reset?: string | Array<string> | undefined
  /** URL of an audio file to play when the call is placed on hold. */
  onHoldMusic?: string | undefined
  /** Default configuration for handling slow webhook responses. */
  actionHookDelayAction?: ActionHookDelayAction | undefined
  /** A webhook to invoke when a SIP request (e.g. INFO, NOTIFY) is received within the dialog. */
  sipRequestWithinDialogHook?: ActionHook | undefined
  /** Boost (or attenuate) the audio signal in dB for the session. */
  boostAudioSignal?: number | string | undefined
  /** A webhook to invoke when a SIP REFER request is received. */
  referHook?: ActionHook | undefined
  /** If true, allow early media (audio before call answer) for the session. */
  earlyMedia?: boolean | undefined
  /** If true, automatically use streaming TTS for all 'say' verbs in the session. */
  autoStreamTts?: boolean | undefined
  /** If true, disable TTS caching for the session. */
  disableTtsCache?: boolean | undefined
  /** If true, report the actual text spoken via TTS. */
  trackTtsPlayout?: boolean | undefined
  /** Noise isolation configuration to reduce background noise on call audio. */
  noiseIsolation?: {
    enable?: boolean | undefined
    vendor?: string | undefined
    level?: number | undefined
    model?: string | undefined
    [property: string]: unknown
  } | undefined
  /** Turn-taking detection configuration for conversational AI applications. */
  turnTaking?: {
    enable?: boolean | undefined
    vendor?: string | undefined
    threshold?: number | undefined
    model?: string | undefined
    [property: string]: unknown
  } | undefined
}

/** Shortcut for 'llm' with vendor automatically set to 'deepgram'. */
export interface DeepgramS2sProperties extends LlmBase {
  /** The LLM vendor (always 'deepgram' for this shortcut). */
  vendor?: 'deepgram' | undefined
  /** IMPORTANT: Deepgram does NOT use a 'messages' array. */
  llmOptions: Record<string, unknown>
}

/** Removes a caller from a named queue and bridges them to the current call. */
export interface DequeueProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** The name of the queue to dequeue from. */
  name: string
  /** A webhook invoked when the dequeued call ends. */
  actionHook?: ActionHook | undefined
  /** Time in seconds to wait for a caller to be available in the queue. */
  timeout?: number | undefined
  /** If true, play a beep when the calls are connected. */
  beep?: boolean | undefined
  /** Dequeue a specific call by its call SID, rather than the next caller in line. */
  callSid?: string | undefined
}

/** Initiates an outbound call to one or more targets and bridges the caller to the first target that answers. */
export interface DialProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** One or more call targets to dial. */
  target: Array<Target>
  /** A webhook invoked when the dialed call ends. */
  actionHook?: ActionHook | undefined
  /** A webhook invoked when the call is placed on hold. */
  onHoldHook?: ActionHook | undefined
  /** If true, delay answering the inbound call until the outbound leg is answered. */
  answerOnBridge?: boolean | undefined
  /** The caller ID (phone number) to present on the outbound call. */
  callerId?: string | undefined
  /** The caller display name to present on the outbound call. */
  callerName?: string | undefined
  /** A webhook invoked when a target answers, before the call is bridged. */
  confirmHook?: ActionHook | undefined
  /** A webhook invoked when a SIP REFER is received on the bridged call. */
  referHook?: ActionHook | undefined
  /** URL of an audio file to play to the caller while the outbound call is ringing. */
  dialMusic?: string | undefined
  /** Configuration for capturing DTMF digits during the bridged call. */
  dtmfCapture?: Array<string> | Record<string, unknown> | undefined
  /** A webhook invoked when a captured DTMF pattern is detected during the bridged call. */
  dtmfHook?: ActionHook | undefined
  /** Custom SIP headers to include on the outbound INVITE. */
  headers?: Record<string, string | number> | undefined
  /** If true, keep media anchored through the jambonz media server even if a direct media path is possible. */
  anchorMedia?: boolean | undefined
  /** Codec names, in preference order, to offer on the outbound INVITE (e.g. ["G722", "PCMU"]). */
  codecs?: Array<string> | undefined
  /** If true, remove jambonz from the media path after the call is bridged. */
  exitMediaPath?: boolean | undefined
  /** Boost (or attenuate) the audio signal in dB. */
  boostAudioSignal?: number | string | undefined
  /** Nested listen configuration for streaming audio of the bridged call. */
  listen?: Record<string, unknown> | undefined
  /** Nested stream configuration for streaming audio of the bridged call. */
  stream?: Record<string, unknown> | undefined
  transcribe?: TranscribeProperties | undefined
  /** Maximum duration in seconds for the bridged call. */
  timeLimit?: number | undefined
  /** Time in seconds to wait for the target to answer before giving up. */
  timeout?: number | undefined
  /** A SIP proxy to route the outbound call through. */
  proxy?: string | undefined
  /** Answering machine detection configuration. */
  amd?: Amd | undefined
  /** Nested dub verbs — audio dubbing configuration for mixing additional audio tracks into the bridged call. */
  dub?: Array<DubProperties> | undefined
  /** Arbitrary metadata to attach to this call leg. */
  tag?: Record<string, unknown> | undefined
  /** If true, forward the P-Asserted-Identity header from the inbound call to the outbound call. */
  forwardPAI?: boolean | undefined
  /** Request SRTP (encrypted media) on the outbound call. */
  srtpEncryption?: 'sdes' | 'dtls' | undefined
}

/** Connects the caller to a Google Dialogflow agent for a voice conversation. */
export interface DialogflowProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** Google service account credentials as a JSON object or stringified JSON. */
  credentials: Record<string, unknown> | string
  /** The Google Cloud project ID. */
  project: string
  /** The Dialogflow agent ID for CX, or the app ID for CES. */
  agent?: string | undefined
  /** The Dialogflow environment to use (CX). */
  environment?: string | undefined
  /** The deployment to use (CES). */
  deployment?: string | undefined
  /** The Google Cloud region for the Dialogflow API endpoint. */
  region?: string | undefined
  /** The Dialogflow model type: 'es' for Dialogflow ES, 'cx' for Dialogflow CX, 'ces' for Dialogflow CES. */
  model?: 'es' | 'cx' | 'ces' | undefined
  /** The language code for the conversation (e.g. 'en-US'). */
  lang: string
  /** Names the conversation on the Dialogflow side. */
  sessionId?: string | undefined
  /** A webhook invoked when the Dialogflow session ends. */
  actionHook?: ActionHook | undefined
  /** A webhook invoked for Dialogflow events during the conversation. */
  eventHook?: ActionHook | undefined
  /** A webhook invoked when the agent requests a client-side tool call (CX and CES). */
  toolHook?: ActionHook | undefined
  /** List of event types to receive via the eventHook. */
  events?: Array<string> | undefined
  /** A Dialogflow event to trigger at the start of the conversation (e.g. 'welcome'). */
  welcomeEvent?: string | undefined
  /** Parameters to pass with the welcome event. */
  welcomeEventParams?: Record<string, unknown> | undefined
  /** Seconds to wait for caller input before triggering the no-input event. */
  noInputTimeout?: number | undefined
  /** Dialogflow event to trigger when no input is received within the timeout. */
  noInputEvent?: string | undefined
  /** If true, pass DTMF digits to Dialogflow as text input. */
  passDtmfAsTextInput?: boolean | undefined
  /** URL of an audio file to play while waiting for Dialogflow to respond. */
  thinkingMusic?: string | undefined
  /** TTS configuration for Dialogflow responses. */
  tts?: Synthesizer | undefined
  /** If true, allow the caller to interrupt Dialogflow responses with speech. */
  bargein?: boolean | undefined
  /** Initial query input to send to Dialogflow. */
  queryInput?: {
    /** Text input. */
    text?: string | undefined
    /** Intent to trigger. */
    intent?: string | undefined
    /** Event to trigger. */
    event?: string | undefined
    /** DTMF input. */
    dtmf?: string | undefined
  } | undefined
}

/** Sends DTMF tones on the call. */
export interface DtmfProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** The DTMF digits to send. */
  dtmf: string
  /** Duration in milliseconds for each DTMF tone. */
  duration?: number | undefined
}

/** Manages audio dubbing tracks on a call. */
export interface DubProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** The dubbing action to perform. */
  action: 'addTrack' | 'removeTrack' | 'silenceTrack' | 'playOnTrack' | 'sayOnTrack'
  /** The name of the audio track. */
  track: string
  /** URL of an audio file to play on the track. */
  play?: string | undefined
  /** Text to synthesize and play on the track. */
  say?: string | Record<string, unknown> | undefined
  /** If true, loop the audio on the track continuously. */
  loop?: boolean | undefined
  /** Audio gain for the track in dB. */
  gain?: number | string | undefined
}

/** Shortcut for 'llm' with vendor automatically set to 'elevenlabs'. */
export interface ElevenlabsS2sProperties extends LlmBase {
  /** The LLM vendor (always 'elevenlabs' for this shortcut). */
  vendor?: 'elevenlabs' | undefined
  /** Authentication credentials for ElevenLabs. */
  auth: {
    /** The ElevenLabs Conversational AI agent ID. */
    agent_id: string
    /** The ElevenLabs API key. */
    api_key?: string | undefined
    [property: string]: unknown
  }
  /** Options for the ElevenLabs conversation session. */
  llmOptions?: {
    /** Optional data sent to the agent when the conversation starts. */
    conversation_initiation_client_data?: Record<string, unknown> | undefined
    /** Audio input sample rate in Hz. */
    input_sample_rate?: number | undefined
    /** Audio output sample rate in Hz. */
    output_sample_rate?: number | undefined
    [property: string]: unknown
  } | undefined
}

/** Places the caller into a named call queue. */
export interface EnqueueProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** The name of the queue to place the caller in. */
  name: string
  /** A webhook invoked when the caller leaves the queue (either dequeued or hung up). */
  actionHook?: ActionHook | undefined
  /** A webhook invoked immediately when the caller enters the queue and periodically while waiting. */
  waitHook?: ActionHook | undefined
  /** The priority of this caller in the queue. */
  priority?: number | undefined
  _?: Record<string, unknown> | undefined
}

/** Collects user input via speech (STT) and/or DTMF digits. */
export interface GatherProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** Invoked when the gather completes. */
  actionHook?: ActionHook | undefined
  /** The types of input to accept. */
  input?: Array<'speech' | 'digits'> | undefined
  /** A DTMF key that signals the end of digit input. */
  finishOnKey?: string | undefined
  /** Exact number of DTMF digits to collect. */
  numDigits?: number | undefined
  /** Minimum number of DTMF digits required. */
  minDigits?: number | undefined
  /** Maximum number of DTMF digits to collect. */
  maxDigits?: number | undefined
  /** Time in seconds to wait between DTMF digits before considering input complete. */
  interDigitTimeout?: number | undefined
  /** Time in seconds of silence after speech before considering the utterance complete. */
  speechTimeout?: number | undefined
  /** Overall timeout in seconds. */
  timeout?: number | undefined
  /** A webhook to invoke with interim (partial) speech recognition results. */
  partialResultHook?: ActionHook | undefined
  /** If true, listen for input while the prompt is playing. */
  listenDuringPrompt?: boolean | undefined
  /** If true, DTMF input interrupts (barges in on) any playing prompt. */
  dtmfBargein?: boolean | undefined
  /** If true, speech input interrupts (barges in on) any playing prompt. */
  bargein?: boolean | undefined
  /** Minimum number of words that must be recognized before barge-in is triggered. */
  minBargeinWordCount?: number | undefined
  /** Override the session-level STT configuration for this gather. */
  recognizer?: Recognizer | undefined
  say?: SayProperties | undefined
  play?: PlayProperties | undefined
  /** Filler noise configuration while waiting for the actionHook to respond. */
  fillerNoise?: FillerNoise | undefined
  /** Configuration for interim actions while the actionHook is processing. */
  actionHookDelayAction?: ActionHookDelayAction | undefined
}

/** Shortcut for 'llm' with vendor automatically set to 'google'. */
export interface GoogleS2sProperties extends LlmBase {
  /** The LLM vendor (always 'google' for this shortcut). */
  vendor?: 'google' | undefined
  llmOptions: NonNullable<LlmBase['llmOptions']>
}

/** Shortcut for 'llm' with vendor automatically set to 'gptlive'. */
export interface GptliveS2sProperties extends LlmBase {
  /** The LLM vendor (always 'gptlive' for this shortcut). */
  vendor?: 'gptlive' | undefined
  /** OpenAI credentials. */
  auth: {
    /** The OpenAI API key. */
    apiKey: string
    [property: string]: unknown
  }
  llmOptions: {
    /** Startup configuration, sent as the first session.update client event. */
    session_update: {
      /** Not allowed: the model travels in the connection URL. */
      model?: unknown
      /** How the model delegates work it cannot do itself. */
      delegation?: {
        /** 'client' asks the application for free-form text context; 'responses' runs a Responses API turn that can make function calls. */
        type?: 'client' | 'responses' | undefined
        /** Configuration for a Responses-targeted delegation. */
        responses?: {
          /** The Responses-side model the delegated turns run on (e.g. gpt-5.5). */
          model: string
          /** Function tools in the flat Responses shape: {type:'function', name, description, parameters}. */
          tools?: Array<Record<string, unknown>> | undefined
          instructions?: string | undefined
          [property: string]: unknown
        } | undefined
        /** Not allowed here: a Responses delegation's tools belong at delegation.responses.tools. */
        tools?: unknown
        [property: string]: unknown
      } | undefined
      [property: string]: unknown
    }
    [property: string]: unknown
  }
}

/** Terminates the call. */
export interface HangupProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** Custom SIP headers to include on the BYE request. */
  headers?: Record<string, string | number> | undefined
}

/** Removes the caller from a conference or queue that they are currently in. */
export interface LeaveProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
}

/** Connects the caller to a large language model for a real-time voice conversation. */
export interface LlmProperties extends LlmBase {
  vendor: NonNullable<LlmBase['vendor']>
  llmOptions: NonNullable<LlmBase['llmOptions']>
}

/** Sends an SMS or MMS message. */
export interface MessageProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** The destination phone number in E.164 format. */
  to: string
  /** The sender phone number in E.164 format. */
  from: string
  /** The text content of the message. */
  text?: string | undefined
  /** URL(s) of media to attach to the message (MMS). */
  media?: string | Array<string> | undefined
  /** The messaging carrier to use. */
  carrier?: string | undefined
  /** The account SID to use for sending. */
  account_sid?: string | undefined
  /** An optional message SID for tracking. */
  message_sid?: string | undefined
  /** A webhook invoked when the message send completes or fails. */
  actionHook?: ActionHook | undefined
}

/** Shortcut for 'llm' with vendor automatically set to 'openai'. */
export interface OpenaiS2sProperties extends LlmBase {
  /** The LLM vendor (always 'openai' for this shortcut). */
  vendor?: 'openai' | undefined
  llmOptions: NonNullable<LlmBase['llmOptions']>
}

/** Pauses execution for a specified number of seconds. */
export interface PauseProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** The duration of the pause in seconds. */
  length: number
}

/** Plays an audio file to the caller. */
export interface PlayProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** The URL(s) of the audio file(s) to play. */
  url: string | Array<string>
  /** Number of times to repeat playback. */
  loop?: number | string | undefined
  /** If true, play the audio as early media before the call is answered. */
  earlyMedia?: boolean | undefined
  /** Start playback at this offset in seconds from the beginning of the file. */
  seekOffset?: number | string | undefined
  /** Maximum time in seconds to play the audio. */
  timeoutSecs?: number | string | undefined
  /** A webhook to invoke when playback completes. */
  actionHook?: ActionHook | undefined
}

/** Shortcut for 'llm' with vendor automatically set to 'qwen'. */
export interface QwenS2sProperties extends LlmBase {
  /** The LLM vendor (always 'qwen' for this shortcut). */
  vendor?: 'qwen' | undefined
  llmOptions: NonNullable<LlmBase['llmOptions']>
}

/** Transfers call control to a different webhook URL. */
export interface RedirectProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** The webhook to transfer control to. */
  actionHook: ActionHook
  /** A webhook to receive call status events after the redirect. */
  statusHook?: ActionHook | undefined
}

/** Internal verb used to originate an outbound call via the REST API. */
export interface RestDialProperties {
  id?: string | undefined
  account_sid?: string | undefined
  application_sid?: string | undefined
  /** Webhook URL or object for call control. */
  call_hook: string | Record<string, unknown>
  /** Webhook URL or object for call status notifications. */
  call_status_hook?: string | Record<string, unknown> | undefined
  /** The caller ID for the outbound call. */
  from: string
  /** Display name for the caller. */
  callerName?: string | undefined
  /** SIP host to use in the From header. */
  fromHost?: string | undefined
  speech_synthesis_vendor?: string | undefined
  speech_synthesis_voice?: string | undefined
  speech_synthesis_language?: string | undefined
  speech_recognizer_vendor?: string | undefined
  speech_recognizer_language?: string | undefined
  /** Arbitrary metadata to attach to the call. */
  tag?: Record<string, unknown> | undefined
  /** The call destination. */
  to: Target
  /** Custom SIP headers to include on the outbound INVITE. */
  headers?: Record<string, string | number> | undefined
  /** Ring timeout in seconds. */
  timeout?: number | undefined
  /** Answering machine detection configuration. */
  amd?: Amd | undefined
  /** If true, send separate audio streams for each call leg. */
  dual_streams?: boolean | undefined
  /** Webhook for in-dialog SIP requests. */
  sipRequestWithinDialogHook?: string | undefined
  /** Webhook for SIP REFER handling. */
  referHook?: string | Record<string, unknown> | undefined
  /** Maximum call duration in seconds. */
  timeLimit?: number | undefined
}

/** Places the caller into a multi-party room. */
export type RoomProperties = ConferenceProperties

/** Synonym for 'llm'. */
export interface S2sProperties extends LlmBase {
  vendor: NonNullable<LlmBase['vendor']>
  llmOptions: NonNullable<LlmBase['llmOptions']>
}

/** Speaks text to the caller using text-to-speech. */
export interface SayProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** The text to speak. */
  text?: string | Array<string> | undefined
  /** Natural language instructions to guide TTS expression and delivery. */
  instructions?: string | undefined
  /** If true, stream TTS audio to the caller incrementally as it is generated, rather than waiting for the complete audio. */
  stream?: boolean | undefined
  /** Number of times to repeat the speech. */
  loop?: number | string | undefined
  /** Override the session-level TTS configuration for this specific utterance. */
  synthesizer?: Synthesizer | undefined
  /** If true, play the audio as early media (before the call is answered). */
  earlyMedia?: boolean | undefined
  /** If true, bypass the TTS cache and always generate fresh audio. */
  disableTtsCache?: boolean | undefined
  /** If true, close the TTS stream when an empty text string is received. */
  closeStreamOnEmpty?: boolean | undefined
}

/** Rejects an incoming call with a SIP error response. */
export interface SipDeclineProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** The SIP response status code to send. */
  status: number
  /** The SIP reason phrase to include in the response. */
  reason?: string | undefined
  /** Custom SIP headers to include in the response. */
  headers?: Record<string, string | number> | undefined
}

/** Sends a SIP REFER request to transfer the call to another party. */
export interface SipReferProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** The SIP URI or phone number to transfer the call to. */
  referTo: string
  /** The SIP URI to use in the Referred-By header. */
  referredBy?: string | undefined
  /** The display name to use in the Referred-By header. */
  referredByDisplayName?: string | undefined
  /** Custom SIP headers to include in the REFER request. */
  headers?: Record<string, string | number> | undefined
  /** A webhook invoked when the REFER completes (or fails). */
  actionHook?: ActionHook | undefined
  /** A webhook invoked for NOTIFY events during the REFER process, providing transfer progress updates. */
  eventHook?: ActionHook | undefined
}

/** Sends a SIP request within the current dialog. */
export interface SipRequestProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** The SIP method to send. */
  method: string
  /** The body of the SIP request. */
  body?: string | undefined
  /** Custom SIP headers to include in the request. */
  headers?: Record<string, string | number> | undefined
  /** A webhook invoked when the response to the SIP request is received. */
  actionHook?: ActionHook | undefined
}

/** Attaches arbitrary metadata to the current call. */
export interface TagProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** An object containing the metadata to attach to the call. */
  data: Record<string, unknown>
}

/** Enables real-time transcription of the call audio. */
export interface TranscribeProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** Enable or disable transcription. */
  enable?: boolean | undefined
  /** The webhook URL to receive transcription results. */
  transcriptionHook?: string | undefined
  /** The webhook URL to receive translated transcription results. */
  translationHook?: string | undefined
  /** STT configuration for the transcription. */
  recognizer?: Recognizer | undefined
  /** If true, begin transcribing before the call is answered. */
  earlyMedia?: boolean | undefined
  /** Specific audio channel to transcribe. */
  channel?: 1 | 2 | undefined
}

/** Packages blind and warm parked/three-way transfer with built-in failure handling. */
export interface TransferProperties extends TransferOptions {
  /** An optional unique identifier for this verb instance. */
  id?: string | undefined
  /** warm only. */
  brief?: {
    /** The spoken briefing text. */
    text: string
    /** Optional voice/vendor for the brief. */
    synthesizer?: Synthesizer | undefined
  } | undefined
}

/** Shortcut for 'llm' with vendor automatically set to 'ultravox'. */
export interface UltravoxS2sProperties extends LlmBase {
  /** The LLM vendor (always 'ultravox' for this shortcut). */
  vendor?: 'ultravox' | undefined
  llmOptions: NonNullable<LlmBase['llmOptions']>
}

export type LexProperties = Record<string, unknown>

export type RasaProperties = Record<string, unknown>

export interface MicrosoftS2sProperties extends LlmBase {
  vendor?: 'microsoft' | undefined
  llmOptions: NonNullable<LlmBase['llmOptions']>
}

export interface VoiceagentS2sProperties extends LlmBase {
  vendor?: 'voiceagent' | undefined
  llmOptions: NonNullable<LlmBase['llmOptions']>
}

/** The properties of each verb, by its name. */
export interface JambonzVerbs {
  agent: AgentProperties
  alert: AlertProperties
  answer: AnswerProperties
  conference: ConferenceProperties
  config: ConfigProperties
  deepgram_s2s: DeepgramS2sProperties
  dequeue: DequeueProperties
  dial: DialProperties
  dialogflow: DialogflowProperties
  dtmf: DtmfProperties
  dub: DubProperties
  elevenlabs_s2s: ElevenlabsS2sProperties
  enqueue: EnqueueProperties
  gather: GatherProperties
  google_s2s: GoogleS2sProperties
  gptlive_s2s: GptliveS2sProperties
  hangup: HangupProperties
  leave: LeaveProperties
  llm: LlmProperties
  message: MessageProperties
  openai_s2s: OpenaiS2sProperties
  pause: PauseProperties
  play: PlayProperties
  qwen_s2s: QwenS2sProperties
  redirect: RedirectProperties
  'rest:dial': RestDialProperties
  room: RoomProperties
  s2s: S2sProperties
  say: SayProperties
  'sip:decline': SipDeclineProperties
  'sip:refer': SipReferProperties
  'sip:request': SipRequestProperties
  tag: TagProperties
  transcribe: TranscribeProperties
  transfer: TransferProperties
  ultravox_s2s: UltravoxS2sProperties
  lex: LexProperties
  rasa: RasaProperties
  microsoft_s2s: MicrosoftS2sProperties
  voiceagent_s2s: VoiceagentS2sProperties
}
