import type { StatefulSet } from './objects.ts'

/**
 * How the pod template is made of a spec. 1 is that of 0.2.0; 2 also has the Secrets as files, and spreads pods over nodes beside
 * what the spec says.
 */
export type TemplateForm = 1 | 2
export const NEWEST_FORM: TemplateForm = 2

/** On pods and their template: its form, but for the first one. */
export const FORM_ANNOTATION = 'imcluster.io/template-form'

/** The form of something that is there. One of a later release counts as the newest that is known. */
export function formOf(annotations: Readonly<Record<string, string>> | undefined): TemplateForm {
  return annotations?.[FORM_ANNOTATION] === undefined ? 1 : NEWEST_FORM
}

/** The form of the template that a StatefulSet has; a new one gets the newest. */
export function formOfTemplate(live: StatefulSet | undefined): TemplateForm {
  return live === undefined ? NEWEST_FORM : formOf(live.spec.template.metadata?.annotations)
}

/** Whether pods of a form see a change of their Secrets. */
export function hasSecretFiles(form: TemplateForm): boolean {
  return form >= 2
}
